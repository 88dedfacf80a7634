// The grading page: one anchor at a time, what any of several models found for it, grades 0-5.

import { Grading, SKIPPED } from "./grading.js";
import { ask, Problem, rememberKey, showPicture } from "./service.js";

const element = (id) => document.getElementById(id);
const JUDGE = "sightline-judge";
const RELEVANT_FROM = 4;

let turn = null; // {judge, pool}
let waiting = []; // anchors of the sheet that come after the one on the screen
let anchor = null; // the one on the screen
let grading = null; // its grades
let [graded, total] = [0, 0]; // pictures of the pool, by this judge
let sent = new Map(); // grades that this tab sent: the service may read them a moment later
let passed = false; // whether anything was skipped since the pool's beginning
let busy = false;

const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function complain(error) {
  if (!(error instanceof Problem)) throw error;
  const title = document.createElement("b");
  title.textContent = error.title;
  element("problem").replaceChildren(title, error.message);
  element("problem").hidden = false;
  if (error.status === 401) element("key-dialog").showModal();
}

// Runs one thing at a time; what fails is told, and can be done again.
async function once(work) {
  if (busy) return;
  busy = true;
  element("problem").hidden = true;
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    busy = false;
  }
}

async function listPools() {
  const { pools } = await (await ask("v1/pools")).json();
  element("begin").elements.pool.replaceChildren(...pools.map((name) => new Option(name)));
  if (!pools.length) element("idle-hint").textContent = "There is no pool: `sightline judgements pool` makes one.";
}

async function fetchSheet(after) {
  const path = `v1/pools/${turn.pool}/sheet`;
  const sheet = await (await post(path, { judge: turn.judge, ...(after ? { after } : {}) })).json();
  for (const one of sheet.anchors) {
    for (const image of one.images) image.grade = sent.get(`${one.image_id} ${image.image_id}`) ?? image.grade;
  }
  waiting = sheet.anchors.filter((one) => one.images.some((image) => image.grade === null));
  [graded, total] = [Math.max(graded, sheet.graded), sheet.images];
}

async function tellAgreement() {
  const found = await (await ask(`v1/pools/${turn.pool}/agreement`)).json();
  const judges = found.judges === 1 ? "1 judge" : `${found.judges} judges`;
  const kappa = found.kappa === null ? "too few for weighted kappa" : `weighted kappa ${found.kappa.toFixed(2)}`;
  element("agreement-figures").textContent = `${judges}, ${found.shared} pictures graded by several: ${kappa}.`;
  element("agreement").hidden = false;
}

async function next() {
  const after = anchor?.image_id;
  if (!waiting.length) await Promise.all([fetchSheet(after), tellAgreement()]);
  if (!waiting.length && passed) {
    passed = false;
    await fetchSheet(); // from the beginning: what was skipped
  }
  anchor = waiting.shift() ?? null;
  show();
}

function show() {
  element("progress").textContent = `${graded} of ${total} pictures graded`;
  for (const id of ["asked", "legend"]) element(id).hidden = !anchor;
  element("idle").hidden = anchor !== null;
  if (!anchor) {
    grading = null;
    element("grid").replaceChildren();
    element("idle").firstElementChild.textContent = "All is graded.";
    element("idle-hint").textContent = "Choose another pool, or let somebody else grade this one.";
    say("All pictures of this pool are graded.");
    return;
  }
  grading = new Grading(anchor.images);
  showPicture(element("anchor"), anchor.image_url.slice(1));
  element("grid").replaceChildren(...anchor.images.map(card));
  say(`${anchor.images.length} pictures to grade.`);
  refresh();
}

function card(image, at) {
  const item = element("picture-template").content.firstElementChild.cloneNode(true);
  showPicture(item.querySelector("img"), image.thumbnail_url.slice(1));
  item.querySelector(".position").textContent = at + 1;
  item.firstElementChild.addEventListener("click", () => {
    grading.current = at;
    refresh();
  });
  return item;
}

function refresh() {
  const cards = [...element("grid").querySelectorAll(".picture")];
  cards.forEach((one, at) => {
    const grade = grading.said[at];
    const here = at === grading.current;
    one.tabIndex = here ? 0 : -1;
    one.setAttribute("aria-current", here);
    one.dataset.state = grade === SKIPPED ? SKIPPED : grade === null ? "open" : "graded";
    one.querySelector(".grade").textContent = Number.isInteger(grade) ? grade : "";
    one.setAttribute("aria-label", `Picture ${at + 1} of ${cards.length}, ${worded(grade)}`);
  });
  for (const button of element("grades").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", Number(button.dataset.grade) === grading.said[grading.current]);
  }
  cards[grading.current].focus();
}

function worded(grade) {
  if (grade === null) return "not graded";
  return grade === SKIPPED ? "skipped" : `graded ${grade}`;
}

function say(text) {
  element("said").textContent = text;
}

function give(grade) {
  if (grade === SKIPPED && Number.isInteger(grading.said[grading.current])) return step(1); // it keeps its grade
  const at = grading.current + 1;
  grading.say(grade);
  const told = grade === SKIPPED ? `Picture ${at} skipped.` : `Picture ${at}: ${grade}${grade >= RELEVANT_FROM ? ", relevant" : ""}.`;
  say(grading.complete ? `${told} All done here: N sends.` : told);
  refresh();
}

function undo() {
  say(grading.undo() ? `Undone: picture ${grading.current + 1} is ${worded(grading.said[grading.current])}.` : "Nothing to undo on this page.");
  refresh();
}

async function send() {
  for (const { image, grade } of grading.unsent) {
    await post("v1/judgements", { anchor_id: anchor.image_id, image_id: image.image_id, grade, judge: turn.judge });
    if (image.grade === null) graded += 1;
    image.grade = grade; // of these none is sent again, should the next fail
    sent.set(`${anchor.image_id} ${image.image_id}`, grade);
  }
  passed ||= grading.said.some((grade) => !Number.isInteger(grade));
  await next();
}

// How many pictures stand in a row: up and down move by as many.
function columns() {
  const tops = [...element("grid").children].map((item) => item.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => step(-columns()),
  ArrowDown: () => step(columns()),
  s: () => give(SKIPPED),
  u: undo,
  Backspace: undo,
  n: () => once(send),
};

function step(by) {
  grading.move(by);
  refresh();
}

function onKey(event) {
  if (!grading || busy || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, dialog")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const does = /^[0-5]$/.test(key) ? () => give(Number(key)) : KEYS[key];
  if (!does) return;
  event.preventDefault();
  does();
}

function listen() {
  document.addEventListener("keydown", onKey);
  element("undo").addEventListener("click", undo);
  element("skip").addEventListener("click", () => give(SKIPPED));
  element("next").addEventListener("click", () => once(send));
  for (const button of element("grades").querySelectorAll("button")) {
    button.addEventListener("click", () => give(Number(button.dataset.grade)));
  }
  element("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    turn = { judge: form.get("judge").trim(), pool: form.get("pool") };
    sessionStorage.setItem(JUDGE, turn.judge);
    [waiting, anchor, passed, graded, sent] = [[], null, false, 0, new Map()];
    once(next);
  });
  element("key-open").addEventListener("click", () => element("key-dialog").showModal());
  element("key-dialog").addEventListener("close", (event) => {
    if (event.target.returnValue !== "use") return;
    rememberKey(element("key").value.trim());
    element("key").value = "";
    once(listPools);
  });
  window.addEventListener("beforeunload", (event) => {
    if (grading?.unsent.length) event.preventDefault();
  });
}

element("begin").elements.judge.value = sessionStorage.getItem(JUDGE) ?? "";
listen();
once(listPools);
