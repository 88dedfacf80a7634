// The model that answers, and how it was learned: for who may see it.

const element = (id) => document.getElementById(id);
const DIGITS = 8;
const FIRST = ["ndcg@24", "mAP", "recall@24", "precision@10"];
const TAUGHT = [["triples", "triple", "triples"], ["pairs", "chosen pair", "chosen pairs"], ["judgements", "judgement", "judgements"]];
const SAYS = { passed: "passed", reported: "reported", failed: "failed", too_little: "too little to say" };

const DOES = {
  wait: "waiting for its turn", seed: "multiplying kept features", replay: "publishing again what the log forgot",
  "catch up": "reading the log", optimise: "building the search graph", prove: "comparing every image", ready: "telling the record",
};

const STAGES = {
  indexed: "its generation is being filled and compared", compared: "an experiment tries it on a part of the people",
  coming: "it is about to serve", watched: "it serves, and is watched", going: "it is being taken back",
};
const OUTCOMES = {
  serves: "it came into service", refused: "its generation was refused", worse: "its experiment kept it out",
  rolled_back: "it was taken back", left: "somebody decided otherwise", failed: "it could not be brought",
};

export const short = (digest) => digest.slice(0, DIGITS);

let told = "";

// `serving` is the answer of v1/models/serving; null where this key may not see it.
export function tellModel(serving) {
  element("model").hidden = !serving;
  const now = JSON.stringify(serving);
  if (!serving || now === told) return;
  told = now;
  element("model-name").textContent = nameOf(serving);
  element("model-name").title = serving.model;
  element("model-where").textContent = `Generation ${serving.generation}${serving.turned ? ", whose vectors an earlier model made" : ""}`;
  element("model-filling").hidden = !serving.filling;
  element("model-filling").textContent = serving.filling ? filled(serving.filling) : "";
  element("model-rollouts").hidden = !serving.rollouts.length;
  element("model-rollouts").replaceChildren(...serving.rollouts.map(rollout));
  tellLearned(serving.learned);
}

// A model that comes by itself, or what became of the last one.
function rollout(one) {
  const item = document.createElement("li");
  item.dataset.rollout = one.stage ?? one.outcome;
  item.title = one.since;
  const what = one.stage ? STAGES[one.stage] ?? one.stage : OUTCOMES[one.outcome] ?? one.outcome;
  item.textContent = `By itself: ${one.name}, ${short(one.digest)}: ${what}${one.says ? ` (${one.says})` : ""}.`;
  return item;
}

function filled(filling) {
  const parts = [`Generation ${filling.generation} is being filled by ${filling.by}, ${DOES[filling.step] ?? filling.step}`];
  if (filling.total) parts.push(`${filling.done.toLocaleString("en")} of ${filling.total.toLocaleString("en")} images`);
  if (filling.rate_per_s !== null) parts.push(`${filling.rate_per_s.toLocaleString("en", { maximumSignificantDigits: 3 })} a second`);
  if (filling.remaining_s !== null) parts.push(`${duration(filling.remaining_s)} left of this step`);
  if (filling.trouble) parts.push(filling.trouble);
  return `${parts.join(" · ")}.`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function nameOf(serving) {
  if (!serving.name) return `The model of the settings, ${short(serving.model)}`;
  const number = serving.learned?.release;
  return `${serving.name}${number ? `, release ${number}` : ""}, ${short(serving.digest)}`;
}

function tellLearned(learned) {
  element("model-taught").textContent = learned ? taught(learned.counts) : "No clicks taught it.";
  const gate = learned?.gate ?? [];
  element("model-gate").replaceChildren(...gate.map(gateLine));
  element("model-why").hidden = !gate.length;
  const rows = figures(learned?.metrics ?? {}, learned?.before ?? {});
  element("model-figures").replaceChildren(...rows);
  element("model-figures").hidden = !rows.length;
}

function taught(counts) {
  const parts = TAUGHT.filter(([name]) => counts[name]).map(([name, one, many]) => `${counts[name].toLocaleString("en")} ${counts[name] === 1 ? one : many}`);
  return parts.length ? `Learned from ${parts.join(", ")}.` : "What it was learned from is not known.";
}

function gateLine(line) {
  const item = document.createElement("li");
  item.dataset.outcome = line.outcome;
  const outcome = document.createElement("b");
  outcome.textContent = SAYS[line.outcome] ?? line.outcome;
  item.append(`${line.rule}: `, outcome, `, ${line.says}`);
  return item;
}

function figures(metrics, before) {
  return FIRST.filter((name) => name in metrics).map((name) => {
    const item = document.createElement("li");
    const was = name in before ? `${before[name].toFixed(3)} → ` : "";
    const value = document.createElement("b");
    value.textContent = metrics[name].toFixed(3);
    item.append(`${name} ${was}`, value);
    return item;
  });
}
