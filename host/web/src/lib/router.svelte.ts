// Addresses: /ui/PAGE/ARGUMENT?QUERY, kept in the browser's history.

const base = "/ui/";

interface Address {
  page: string;
  argument: string;
  query: URLSearchParams;
}

function read(): Address {
  const [page = "", ...rest] = location.pathname.slice(base.length).split("/");
  return { page, argument: rest.map(decodeURIComponent).join("/"), query: new URLSearchParams(location.search) };
}

let address = $state.raw(read());

/** Where the browser is. */
export const route = {
  get page() {
    return address.page;
  },
  get argument() {
    return address.argument;
  },
  get query() {
    return address.query;
  },
};

/** The address of a page; empty values of query are left out. */
export function to(page: string, argument = "", query: Record<string, string> = {}): string {
  const kept = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const path = argument === "" ? page : `${page}/${encodeURIComponent(argument)}`;
  return `${base}${path}${kept.size > 0 ? `?${kept}` : ""}`;
}

/** Goes to an address of to(). */
export function go(href: string, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  address = read();
  if (!replace) {
    scrollTo(0, 0);
  }
}

/** Follows links and the browser's buttons; returns what ends that. */
export function startRouter(): () => void {
  const back = () => (address = read());
  const click = (event: MouseEvent) => {
    const link = (event.target as Element | null)?.closest("a");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
      return;
    }
    if (link.target || link.hasAttribute("download") || link.origin !== location.origin || !link.pathname.startsWith(base)) {
      return;
    }
    event.preventDefault();
    go(link.pathname + link.search);
  };
  addEventListener("popstate", back);
  addEventListener("click", click);
  return () => {
    removeEventListener("popstate", back);
    removeEventListener("click", click);
  };
}
