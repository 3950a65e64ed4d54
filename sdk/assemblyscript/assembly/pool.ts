// Memory without an owner. A module has no garbage collector: what is made while parameters are read stays, and what
// is made while an event is priced is forgotten when the next one begins. Both come from lists of chunks; the list of
// an event is walked again from its first chunk, so pricing takes no new memory but for the first greedy event.

const CHUNK: usize = 16 << 10;

/** Chunks end with the address of the next one, 0 for none yet. */
const LINK: usize = 16;

const eventChunk: usize = newChunk();

let next: usize = 0;
let end: usize = 0;
let keptNext: usize = 0;
let keptEnd: usize = 0;

/** Takes size bytes, a multiple of 16 and no more than a chunk, aligned to 16. */
// @ts-ignore: decorator
@inline
export function take(size: usize): usize {
  const place = next;
  const after = place + size;
  if (after > end) return takeNew(size);
  next = after;
  return place;
}

// @ts-ignore: decorator
@inline
function chunkAfter(last: usize): usize {
  return last ? load<usize>(last) : 0;
}

function newChunk(): usize {
  const chunk = heap.alloc(CHUNK + LINK);
  store<usize>(chunk + CHUNK, 0);
  return chunk;
}

function takeNew(size: usize): usize {
  let chunk = chunkAfter(end);
  if (chunk == 0) {
    chunk = newChunk();
    if (end) store<usize>(end, chunk);
  }
  next = chunk + size;
  end = chunk + CHUNK;
  return chunk;
}

/** From here on, what is taken is forgotten with the event. */
// @ts-ignore: decorator
@inline
export function forEvent(): void {
  next = eventChunk;
  end = eventChunk + CHUNK;
}

/** From here on, what is taken stays. */
export function forGood(): void {
  next = keptNext;
  end = keptEnd;
}

/** Ends what forGood began. */
export function keepAll(): void {
  keptNext = next;
  keptEnd = end;
  forEvent();
}
