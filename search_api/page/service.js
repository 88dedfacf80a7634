// The API as the page sees it: requests with the tab's key, problem documents as errors.

const KEY = "sightline-key";

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || "The service did not answer.");
    this.status = status;
    this.title = document.title || "That did not work";
    this.document = document;
  }
}

export function rememberKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

function headers(extra = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...extra, "X-API-Key": key } : extra;
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "No connection", detail: "The service cannot be reached." });
  }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export async function readiness() {
  const answer = await fetch("readyz").catch(() => null);
  return answer === null ? null : answer.json().catch(() => null);
}

// An <img> cannot send a key: with one, the picture is fetched and shown from memory.
export async function showPicture(image, path) {
  image.addEventListener("error", () => image.removeAttribute("src"), { once: true });
  if (!sessionStorage.getItem(KEY)) {
    image.src = path;
    return;
  }
  try {
    const url = URL.createObjectURL(await (await ask(path)).blob());
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  } catch {
    // The image went out of sight between the search and now: its place stays empty.
  }
}
