// The services, as any client calls them. With a token when the server wants one:
// it is asked for once and kept until the tab is closed.

import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import {
  AdminService,
  AlertService,
  CatalogService,
  DeadLetterService,
  DeliveryService,
  ErrorDetailSchema,
  InvoiceService,
  PeriodService,
  PluginService,
  SubtotalService,
} from "@tollway/client";

const tokenKey = "tollway.token";

let token = sessionStorage.getItem(tokenKey) ?? "";
let wanted = $state(false);
let session = $state(0);

/** Whether a token is wanted, and how often it was changed. */
export const access = {
  get tokenWanted() {
    return wanted;
  },
  get session() {
    return session;
  },
  get tokenRefused() {
    return wanted && token !== "";
  },
  useToken(value: string) {
    token = value.trim();
    sessionStorage.setItem(tokenKey, token);
    wanted = false;
    session++;
  },
  forget() {
    token = "";
    sessionStorage.removeItem(tokenKey);
    session++;
  },
  get hasToken() {
    return session >= 0 && token !== "";
  },
};

/** Asks for a token when that is what an error is about. */
export function noteRefusal(error: unknown) {
  if (ConnectError.from(error).code === Code.Unauthenticated) {
    wanted = true;
  }
}

const authorize: Interceptor = (next) => async (request) => {
  if (token !== "") {
    request.header.set("Authorization", `Bearer ${token}`);
  }
  try {
    return await next(request);
  } catch (error) {
    noteRefusal(error); // a stream's comes later, with its first message
    throw error;
  }
};

const transport = createConnectTransport({ baseUrl: location.origin, useBinaryFormat: true, interceptors: [authorize] });

export const subtotals = createClient(SubtotalService, transport);
export const invoices = createClient(InvoiceService, transport);
export const alerts = createClient(AlertService, transport);
export const deliveries = createClient(DeliveryService, transport);
export const periods = createClient(PeriodService, transport);
export const catalog = createClient(CatalogService, transport);
export const deadLetters = createClient(DeadLetterService, transport);
export const admin = createClient(AdminService, transport);
export const plugins = createClient(PluginService, transport);

/** What went wrong, for people: the message and what to do. */
export function explain(error: unknown): { message: string; hint: string; reason: string } {
  const cause = ConnectError.from(error);
  const detail = cause.findDetails(ErrorDetailSchema)[0];
  if (cause.code === Code.Unavailable || (cause.code === Code.Unknown && !detail)) {
    return { message: detail ? cause.rawMessage : "The server cannot be reached.", hint: detail?.hint ?? "Is tollway running?", reason: detail?.reason ?? "" };
  }
  return { message: cause.rawMessage, hint: detail?.hint ?? "", reason: detail?.reason ?? "" };
}
