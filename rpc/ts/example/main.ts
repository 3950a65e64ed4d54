// A page that follows an account's subtotals. Run `tollway demo`, then in rpc/ts:
//
//	npm ci && npm run example
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { formatDecimal, type Live, SubtotalService, watchSubtotals } from "../src";

const client = createClient(SubtotalService, createConnectTransport({ baseUrl: location.origin }));
const form = document.querySelector("form")!;
const status = document.querySelector("#status")!;
const table = document.querySelector<HTMLTableElement>("#lines")!;

function show(live: Live) {
  const totals = live.totals.map((t) => `${formatDecimal(t.amount)} ${t.currency}`).join(", ");
  status.textContent = `${live.status}: ${live.error?.rawMessage ?? totals}`;
  table.replaceChildren();
  for (const subtotal of live.subtotals.values()) {
    for (const line of subtotal.lines) {
      const row = table.insertRow();
      for (const text of [subtotal.tariff, line.description, formatDecimal(line.quantity), formatDecimal(line.amount), subtotal.currency]) {
        row.insertCell().textContent = text;
      }
    }
  }
}

let stop = () => {};
function watch() {
  stop();
  stop = watchSubtotals(client, { account: String(new FormData(form).get("account")) }, show);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  watch();
});
watch();
