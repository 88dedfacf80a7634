// The page: what is asked by, and what happens when it changes.

import { askedBy } from "./both.js";
import { add } from "./catalogue.js";
import { returned } from "../sightline.mjs";
import { CropBox } from "./crop.js";
import { watchLearning } from "./learning.js";
import { nameOf, search } from "./search.js";
import { readiness, rememberKey, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const READY_EVERY_MS = 5000;

let learning = false; // whether what people did is being shown
let query = null; // {file} or {imageId}
const crop = new CropBox(element("stage"), element("box"), () => ask());

function ask() {
  if (!query) return;
  element("crop-clear").hidden = !crop.box;
  search(query.file ? { file: query.file, crop: crop.text } : query, askByResult);
}

function askByFile(file) {
  if (!file) return;
  returned(); // from what the last click led to
  query = { file };
  show(file.name || "pasted picture");
  const url = URL.createObjectURL(file);
  const preview = element("preview");
  preview.hidden = false;
  crop.enabled = true;
  preview.onload = () => URL.revokeObjectURL(url);
  preview.onerror = () => { // not every picture that is taken can be shown by a browser: HEIC, TIFF
    URL.revokeObjectURL(url);
    preview.hidden = true;
    crop.enabled = false;
  };
  preview.src = url;
  element("adding").hidden = false;
  ask();
}

function askByResult(result) {
  query = { imageId: result.image_id };
  show(nameOf(result), result.image_id);
  element("preview").hidden = false;
  element("preview").onload = element("preview").onerror = null;
  showPicture(element("preview"), result.image_url.slice(1));
  crop.enabled = false; // a box goes with an upload only
  element("adding").hidden = true;
  ask();
  window.scrollTo({ top: 0, behavior: "smooth" });
}

function show(name, more = name) {
  askedBy(query);
  crop.clear();
  element("drop").dataset.state = "filled";
  element("query-bar").hidden = false;
  element("query-name").textContent = name;
  element("query-name").title = more;
}

function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type);
}

function receive(target) {
  const over = (on) => element("drop").classList.toggle("over", on);
  target.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  target.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    askByFile(pictureOf(event.dataTransfer));
  });
  target.addEventListener("paste", (event) => askByFile(pictureOf(event.clipboardData)));
}

function listenToForms() {
  element("file").addEventListener("change", (event) => {
    askByFile(event.target.files[0]);
    event.target.value = "";
  });
  element("filters").addEventListener("change", ask);
  element("filters").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  element("crop-clear").addEventListener("click", () => { crop.clear(); ask(); });
  element("adding").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const tags = form.get("tags").split(",").map((tag) => tag.trim()).filter(Boolean);
    event.target.hidden = true; // once is enough; its freshness takes the form's place
    event.target.reset();
    add(query.file, { visibility: form.get("visibility"), tags }, ask);
  });
  element("key-open").addEventListener("click", () => element("key-dialog").showModal());
  element("key-dialog").addEventListener("close", (event) => {
    if (event.target.returnValue !== "use") return;
    rememberKey(element("key").value.trim());
    element("key").value = "";
    ask();
  });
}

async function watchReadiness() {
  const ready = await readiness();
  if (ready?.learning && !learning) watchLearning();
  learning ||= ready?.learning;
  const [state, text] = told(ready);
  element("ready").dataset.state = state;
  element("ready").lastElementChild.textContent = text;
  element("ready").title = ready ? `model ${ready.model}, generation ${ready.generation}` : "";
  setTimeout(watchReadiness, READY_EVERY_MS);
}

function told(ready) {
  if (!ready?.parts) return ["down", "no connection"];
  const down = Object.keys(ready.parts).filter((part) => !ready.parts[part].up);
  return down.length ? ["down", `${down.join(", ")} down`] : ["up", `ready, ${ready.runtime}`];
}

receive(document);
listenToForms();
watchReadiness();
