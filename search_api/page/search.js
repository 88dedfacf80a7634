// A query and filters in, a grid of results out.

import { track } from "../sightline.mjs";
import { ask, Problem, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const STAGES = ["decode", "embed", "anchor", "index", "rerank", "total"];
const REASONS = { duplicate: "the very same picture", near_duplicate: "nearly the same picture" };
const UNUSABLE = [413, 415, 422]; // the file is no picture that could be added
const SESSION = "sightline-session";

const listed = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);

export function filters() {
  const form = new FormData(element("filters"));
  const said = {
    limit: Number(form.get("limit")),
    exact: form.has("exact"),
    near_duplicates: form.has("collapse") ? "collapse" : "keep",
  };
  for (const name of ["tags_any", "tags_all", "tags_none"]) {
    const tags = listed(form.get(name));
    if (tags.length) said[name] = tags;
  }
  const session = sessionStorage.getItem(SESSION);
  if (session) said.session_id = session;
  return said;
}

function asForm(query, said) {
  const form = new FormData();
  form.append("image", query.file, query.file.name || "pasted");
  for (const [name, value] of Object.entries(said)) {
    for (const one of [value].flat()) form.append(name, one);
  }
  if (query.crop) form.append("crop", query.crop);
  return form;
}

let running = null;

// `query` is {file, crop} or {imageId}; `again` searches by a result.
export async function search(query, again) {
  running?.abort();
  const mine = (running = new AbortController());
  const said = filters();
  const options = query.imageId
    ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ image_id: query.imageId, ...said }) }
    : { body: asForm(query, said) };
  element("grid").setAttribute("aria-busy", "true");
  try {
    const answer = await ask("v1/search", { method: "POST", signal: mine.signal, ...options });
    show(await answer.json(), answer.headers.get("Server-Timing") || "", again);
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(error);
  } finally {
    if (running === mine) element("grid").removeAttribute("aria-busy");
  }
}

export function complain(error) {
  if (!(error instanceof Problem)) throw error;
  const box = element("problem");
  const title = document.createElement("b");
  title.textContent = error.title;
  box.replaceChildren(title, error.message);
  box.hidden = false;
  element("summary").textContent = "";
  element("grid").replaceChildren(); // what it shows was the answer to another question
  for (const name of ["idle", "timing", "removed"]) element(name).hidden = true;
  if (UNUSABLE.includes(error.status)) element("adding").hidden = true;
  if (error.status === 401) element("key-dialog").showModal();
}

function show(answer, timing, again) {
  sessionStorage.setItem(SESSION, answer.session_id);
  element("problem").hidden = true;
  element("idle").hidden = true;
  element("summary").textContent = counted(answer.results.length);
  showTiming(timing, answer.feedback);
  showRemoved(answer.removed);
  const page = track(answer);
  element("grid").replaceChildren(...answer.results.map((result) => card(result, page, again)));
}

function counted(count) {
  if (count === 0) return "Nothing matches these tags.";
  return count === 1 ? "One picture looks like it" : `${count} pictures look like it`;
}

function showTiming(timing, feedback) {
  const line = element("timing");
  const stages = new Map(timing.split(", ").map((entry) => entry.split(";dur=")));
  line.replaceChildren(
    ...STAGES.filter((name) => stages.has(name)).map((name) => {
      const entry = document.createElement("span");
      const value = document.createElement("b");
      value.textContent = `${Number(stages.get(name)).toFixed(1)} ms`;
      entry.append(`${name} `, value);
      return entry;
    }),
    feedback ? "recorded" : "not recorded: a part is down",
  );
  line.hidden = false;
}

function showRemoved(removed) {
  const reasons = Object.entries(removed).map(([reason, n]) => `${n} × ${REASONS[reason] || reason}`);
  element("removed").textContent = `Left out above the last result: ${reasons.join(", ")}.`;
  element("removed").hidden = reasons.length === 0;
}

function card(result, page, again) {
  const item = element("result-template").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(name);
  item.dataset.imageId = result.image_id;
  part("img").alt = result.tags.length ? result.tags.join(", ") : `Result ${result.position}`;
  showPicture(part("img"), result.thumbnail_url.slice(1));
  part(".position").textContent = result.position;
  part(".score-value").textContent = result.score.toFixed(3);
  part(".score-track i").style.setProperty("width", `${Math.max(0, Math.min(1, result.score)) * 100}%`);
  part(".name").textContent = result.attributes.title || result.image_id;
  part(".name").title = result.image_id;
  part(".tags").replaceChildren(...result.tags.slice(0, 4).map(tagButton));
  part(".again").setAttribute("aria-label", `Search by this one, result ${result.position}`);
  part(".again").addEventListener("click", () => {
    page.clicked(result.image_id, { here: true });
    again(result);
  });
  page.observe(part(".frame"), result.image_id);
  return item;
}

function tagButton(tag) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = tag;
  button.title = `Only results with “${tag}”`;
  button.addEventListener("click", () => {
    const field = element("filters").elements.tags_any;
    if (!listed(field.value).includes(tag)) field.value = [...listed(field.value), tag].join(", ");
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });
  return button;
}
