// What people did, and what was learned from it: the click-through rate and the last triples.

import { duringExperiment } from "./both.js";
import { tellModel } from "./model.js";
import { ask, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const EVERY_MS = 5000;
const TRIPLES = 5;
const ROLES = ["anchor", "positive", "negative"];
const SAYS = { anchor: "Asked by", positive: "Chosen", negative: "Passed over" };

let shown = "";

// Null where this key may not see it, or there is no such thing here.
async function read(path) {
  try {
    return await (await ask(path)).json();
  } catch {
    return null;
  }
}

export async function watchLearning() {
  const [stats, triples, serving] = await Promise.all([
    read("v1/stats?period=all"),
    read(`v1/triples?limit=${TRIPLES}`),
    read("v1/models/serving"),
  ]);
  tellModel(serving);
  duringExperiment(serving);
  tell(stats?.rows ?? [], triples?.triples ?? []);
  if (stats || triples || serving) setTimeout(watchLearning, EVERY_MS);
}

function tell(rows, triples) {
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  const images = sum("images_shown");
  element("learning").hidden = !images && !triples.length;
  element("learning-figures").textContent = images
    ? `${((100 * sum("images_clicked")) / images).toFixed(1)} % of the pictures shown were clicked, in ${sum("searches")} searches.`
    : "";
  const ids = triples.map((triple) => triple.triple_id).join();
  if (ids === shown) return;
  shown = ids;
  element("triples").replaceChildren(...triples.map(row));
}

function row(triple) {
  const item = document.createElement("li");
  item.append(...ROLES.map((role) => picture(role, triple[role])));
  return item;
}

function picture(role, one) {
  const figure = document.createElement("figure");
  figure.dataset.role = role;
  const image = document.createElement("img");
  image.alt = `${SAYS[role]}: ${one.image_id}`;
  if (one.thumbnail_url) showPicture(image, one.thumbnail_url.slice(1));
  const caption = document.createElement("figcaption");
  caption.textContent = SAYS[role];
  figure.append(image, caption);
  return figure;
}
