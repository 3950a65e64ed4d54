// Loading what a page shows: once, again on demand, or every so often.

/** What was loaded. While value is undefined and error too, it is on its way. */
export interface Loaded<T> {
  readonly value: T | undefined;
  /** Of the last try; what was loaded before stands. */
  readonly error: unknown;
  /** Loads again. */
  reload(): void;
}

/**
 * loads calls load when the part that uses it appears, when the state changes that
 * load reads before its first await, and every so many milliseconds if asked. To be
 * called while a component is made. A hidden tab does not load; it does at once when
 * it is seen again.
 */
export function loads<T>(load: (signal: AbortSignal) => Promise<T>, every = 0): Loaded<T> {
  let value = $state.raw<T>();
  let error = $state.raw<unknown>();
  let again = $state(0);
  $effect(() => {
    void again;
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async (promise: Promise<T>) => {
      try {
        const result = await promise;
        if (!end.signal.aborted) {
          value = result;
          error = undefined;
        }
      } catch (cause) {
        if (!end.signal.aborted) {
          error = cause;
        }
      }
      next();
    };
    const whenSeen = (then: () => void) => {
      if (document.hidden) {
        document.addEventListener("visibilitychange", then, { once: true, signal: end.signal });
      } else {
        then();
      }
    };
    const next = () => {
      if (every > 0 && !end.signal.aborted) {
        timer = setTimeout(whenSeen, every, () => void run(load(end.signal)));
      }
    };
    void run(load(end.signal));
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  });
  return {
    get value() {
      return value;
    },
    get error() {
      return error;
    },
    reload() {
      again++;
    },
  };
}
