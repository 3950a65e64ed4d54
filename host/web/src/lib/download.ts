// Files that the page makes for its user.

/** Hands a file to the browser, which saves it. */
export function download(name: string, type: string, parts: (Uint8Array | string)[]) {
  const url = URL.createObjectURL(new Blob(parts as BlobPart[], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
