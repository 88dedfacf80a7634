// A picture into the catalogue, and how long until a search finds it, live.

import { ask } from "./service.js";

const element = (id) => document.getElementById(id);
const FIRST_LOOK_MS = 60;
const LAST_LOOK_MS = 1000;
const GIVE_UP_MS = 120000;
const SAYS = {
  pending: "On its way",
  indexed: "Searchable",
  hidden: "Kept ready, shown to no one",
  rejected: "Not usable",
  deleted: "Deleted",
  failed: "Not added",
};

export async function add(file, fields, arrived) {
  const row = newRow(file);
  const form = new FormData();
  form.append("image", file, file.name || "pasted");
  form.append("visibility", fields.visibility);
  for (const tag of fields.tags) form.append("tags", tag);
  const started = performance.now();
  try {
    const answer = await ask("v1/images", { method: "POST", body: form });
    const status = await watch(row, (await answer.json()).image_id, started);
    if (status.status === "indexed") arrived(status);
  } catch (error) {
    update(row, "failed", "", error.message);
  }
}

async function watch(row, imageId, started) {
  const acknowledged = performance.now();
  for (let pause = FIRST_LOOK_MS; ; pause = Math.min(LAST_LOOK_MS, pause * 1.4)) {
    const status = await (await ask(`v1/images/${imageId}`)).json();
    const elapsed = performance.now() - started;
    update(row, status.status, `${(elapsed / 1000).toFixed(2)} s`, story(status, acknowledged - started));
    if (status.status !== "pending" || elapsed > GIVE_UP_MS) return status;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

function story(status, acknowledgedMs) {
  if (status.message) return status.message;
  const acknowledged = `acknowledged after ${Math.round(acknowledgedMs)} ms`;
  const seconds = status.freshness.seconds;
  if (seconds === undefined || seconds === null) return `${acknowledged}, the index has not applied it yet`;
  const what = status.status === "indexed" ? "searchable" : "applied";
  return `${acknowledged}, ${what} ${Math.round(seconds * 1000)} ms after the log had it`;
}

function newRow(file) {
  const row = document.createElement("li");
  row.className = "upload";
  const picture = document.createElement("img");
  picture.alt = "";
  picture.src = URL.createObjectURL(file);
  const parts = ["state", "clock", "why"].map((name) => {
    const part = document.createElement(name === "why" ? "p" : "span");
    part.className = name;
    return part;
  });
  row.append(picture, ...parts);
  element("uploads").hidden = false;
  element("upload-list").prepend(row);
  update(row, "pending", "", "sending");
  return row;
}

function update(row, state, clock, why) {
  row.dataset.state = state;
  row.querySelector(".state").textContent = SAYS[state] || state;
  row.querySelector(".clock").textContent = clock;
  row.querySelector(".why").textContent = why;
}
