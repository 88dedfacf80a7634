// A query and filters in, a grid of results out.

import { track } from "../sightline.mjs";
import { short } from "./model.js";
import { ask, Problem, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const STAGES = ["decode", "embed", "anchor", "index", "rerank", "total"];
const REASONS = { duplicate: ["exact duplicate", "exact duplicates"], near_duplicate: ["near-duplicate", "near-duplicates"] };
const NO_PICTURE = "unsupported_media";
const TAG_FIELDS = ["tags_any", "tags_all", "tags_none"];
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
  for (const name of TAG_FIELDS) {
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

function inWords(error) {
  if (error.document.reason !== NO_PICTURE) return [error.title, error.message];
  return ["This is not a picture we can read", "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC are; video, PDF and SVG are not."];
}

export function complain(error) {
  if (!(error instanceof Problem)) throw error;
  const box = element("problem");
  const title = document.createElement("b");
  const [said, more] = inWords(error);
  title.textContent = said;
  box.replaceChildren(title, more);
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
  showCount(answer.results.length);
  showTiming(timing, answer);
  showRemoved(answer.removed);
  const page = track(answer);
  element("grid").replaceChildren(...answer.results.map((result) => card(result, page, again)));
}

function showCount(count) {
  const narrowed = TAG_FIELDS.some((name) => listed(element("filters").elements[name].value).length);
  element("summary").textContent = counted(count, narrowed);
  if (count || !narrowed) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Clear tags";
  button.addEventListener("click", clearTags);
  element("summary").append(" ", button);
}

function counted(count, narrowed) {
  if (count === 0) return narrowed ? "Nothing matches these tags." : "There is no picture to compare it with yet.";
  return count === 1 ? "The nearest picture" : `${count} nearest pictures`;
}

function clearTags() {
  const form = element("filters");
  for (const name of TAG_FIELDS) form.elements[name].value = "";
  form.dispatchEvent(new Event("change"));
}

function showTiming(timing, { feedback, generation, model }) {
  const stages = new Map(timing.split(", ").map((entry) => entry.split(";dur=")));
  element("timing-total").textContent = `${Number(stages.get("total")).toFixed(0)} ms, ${feedback ? "recorded" : "not recorded: a part is down"}`;
  element("timing-stages").replaceChildren(
    ...STAGES.filter((name) => stages.has(name)).map((name) => {
      const entry = document.createElement("span");
      const value = document.createElement("b");
      value.textContent = `${Number(stages.get(name)).toFixed(1)} ms`;
      entry.append(`${name} `, value);
      return entry;
    }),
    `generation ${generation}, model ${short(model)}`,
  );
  element("timing").hidden = false;
}

function showRemoved(removed) {
  const reasons = Object.entries(removed).map(([reason, n]) => `${n} ${REASONS[reason]?.[n === 1 ? 0 : 1] ?? reason}`);
  element("removed").textContent = `${reasons.join(" and ")} of results hidden`;
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
  part("figcaption").title = result.image_id;
  part(".name").textContent = result.attributes.title || (result.tags.length ? "" : result.image_id);
  part(".tags").replaceChildren(...result.tags.slice(0, 4).map(tagButton));
  part(".again").setAttribute("aria-label", `Search by this one, result ${result.position}`);
  part(".again").addEventListener("click", () => {
    page.clicked(result.image_id, { here: true });
    again(result);
  });
  page.observe(part(".frame"), result.image_id);
  return item;
}

// What a person would call it; its id only where nobody has said anything of it.
export function nameOf(result) {
  return result.attributes.title || result.tags.join(", ") || result.image_id;
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
