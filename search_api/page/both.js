// Both rankings of an experiment side by side, of an image that is asked by: for admins.

import { short } from "./model.js";
import { filters } from "./search.js";
import { ask, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const SAYS = { control: "What serves", treatment: "What is tried" };

let experiment = null;
let imageId = null;

// `serving` is the answer of v1/models/serving, or null.
export function duringExperiment(serving) {
  experiment = serving?.experiment ?? null;
  offer();
}

export function askedBy(query) {
  imageId = query?.imageId ?? null;
  offer();
}

function offer() {
  element("both").hidden = !experiment || !imageId;
}

async function show() {
  const body = JSON.stringify({ ...filters(), image_id: imageId });
  const headers = { "Content-Type": "application/json" };
  element("both-title").textContent = `Experiment ${experiment}`;
  element("both-columns").replaceChildren();
  element("both-problem").textContent = "";
  element("both-dialog").showModal();
  try {
    const answer = await (await ask("v1/models/rankings", { method: "POST", headers, body })).json();
    element("both-columns").replaceChildren(...columns(answer.rankings));
  } catch (error) {
    element("both-problem").textContent = error.message;
  }
}

function columns(rankings) {
  const places = rankings.map(({ results }) => new Map(results.map((one) => [one.image_id, one.position])));
  return rankings.map((ranking, n) => column(ranking, places[1 - n]));
}

function column(ranking, elsewhere) {
  const section = document.createElement("section");
  const title = document.createElement("h3");
  title.textContent = `${SAYS[ranking.arm] ?? ranking.arm}: ${nameOf(ranking.model)}, generation ${ranking.generation}`;
  const list = document.createElement("ol");
  list.append(...ranking.results.map((result) => row(result, elsewhere.get(result.image_id))));
  section.append(title, list);
  return section;
}

// `model` is NAME@DIGEST, or null for the one that the settings name.
function nameOf(model) {
  const [name, digest] = (model ?? "").split("@");
  return digest ? `${name}, ${short(digest)}` : "the model of the settings";
}

function row(result, there) {
  const item = document.createElement("li");
  item.dataset.moved = there === result.position ? "no" : "yes";
  const image = document.createElement("img");
  image.alt = result.tags.join(", ") || result.image_id;
  showPicture(image, result.thumbnail_url.slice(1));
  const where = document.createElement("span");
  where.textContent = `${result.position} · ${result.score.toFixed(3)} · ${there ? `there ${there}` : "not there"}`;
  item.append(image, where);
  return item;
}

element("both").addEventListener("click", show);
element("both-close").addEventListener("click", () => element("both-dialog").close());
