// The catalog's objects, as their canonical JSON has them.

import type { Client } from "@connectrpc/connect";
import type { CatalogObject, CatalogService } from "@tollway/client";

export interface Meter {
  event_type?: string;
  [key: string]: unknown;
}

export interface TariffVersion {
  effective_from?: string;
  plugin?: string;
  params?: unknown;
}

export interface Tariff {
  meter?: string;
  currency?: string;
  versions?: TariffVersion[];
  [key: string]: unknown;
}

export function parse<T>(object: CatalogObject): T {
  return JSON.parse(object.body) as T;
}

/** The most objects of a kind that a page loads; beyond it says so. */
export const objectsMax = 5000;

/** All objects of a kind, up to objectsMax. */
export async function everything(client: Client<typeof CatalogService>, kind: string, signal: AbortSignal) {
  const objects: CatalogObject[] = [];
  for (let pageToken = ""; ; ) {
    const page = await client.get({ kind, pageSize: 1000, pageToken }, { signal });
    objects.push(...page.objects);
    pageToken = page.nextPageToken;
    if (!pageToken || objects.length >= objectsMax) {
      return { objects, revision: page.revision, digest: page.digest, more: pageToken !== "", asOf: page.asOf };
    }
  }
}
