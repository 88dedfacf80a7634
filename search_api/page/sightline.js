// What visitors do with a page of results, to POST /v1/interactions. No dependencies.
//
//   <script src="//search.example/sightline.js"></script>      makes `Sightline`
//   import { track } from "//search.example/sightline.mjs";    the same as a module
//
//   const page = Sightline.track(answer);     `answer` as POST /v1/search gave it
//   page.observe(element, imageId);           time in view
//   page.clicked(imageId);                    also liked, shared, converted
//
// Times are the monotonic clock's; the visitor's date and zone never leave the browser.

globalThis.Sightline ??= (() => {
  "use strict";

  const HALF = 0.5;
  const SOON_MS = 1000;
  const LOOK_AGAIN_MS = 10000;
  const WORTH_TELLING_MS = 100;
  const EXAMINED_MS = 1000;
  const MAX_ITEMS = 100;
  const MAX_WAITING = 1000;
  const MAX_TRIES = 4;
  const MAX_PAGES = 20;
  const DAY_MS = 86400000;
  const STAY = "sightline-stay";
  const RETRIED = new Set([429, 500, 502, 503, 504]);
  const script = document.currentScript;
  const library = { track, returned, home: script?.src ? new URL(".", script.src).href : null };

  // Goes on over a reload, unlike performance.now() alone; unlike Date, nobody can set it back.
  const now = () => performance.timeOrigin + performance.now();
  const milliseconds = (value) => Math.round(Math.min(DAY_MS, Math.max(0, value)));
  const hidden = () => document.visibilityState === "hidden";

  // Whether this page may read what the endpoint answers. A script that was asked for with CORS (a
  // module, or with `crossorigin`) would not run where the origin is not among `api.cors_origins`.
  function readable(endpoint) {
    const { origin } = new URL(endpoint);
    if (origin === location.origin) return true;
    const allowed = !script || script.crossOrigin !== null;
    return allowed && library.home !== null && new URL(library.home).origin === origin;
  }

  function newId() {
    if (crypto.randomUUID) return crypto.randomUUID(); // only in secure contexts
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function remember(stay) {
    try {
      if (stay) sessionStorage.setItem(STAY, JSON.stringify(stay));
      else sessionStorage.removeItem(STAY);
    } catch {
      // Storage is off: a dwell over a reload is not reported.
    }
  }

  // Adds up while it runs and the tab is visible.
  class Stopwatch {
    constructor() {
      this.sum = 0;
      this.running = false;
      this.since = null;
    }

    get total() {
      return this.sum + (this.since === null ? 0 : now() - this.since);
    }

    set(running) {
      this.running = running;
      this.tick();
    }

    // Also called when the tab is shown or hidden.
    tick() {
      const should = this.running && !hidden();
      if (should && this.since === null) this.since = now();
      if (should || this.since === null) return;
      this.sum += now() - this.since;
      this.since = null;
    }
  }

  // Items of one search on their way: in company, again after a failure, and at once at the end.
  class Outbox {
    constructor(endpoint, searchId) {
      this.endpoint = endpoint;
      this.searchId = searchId;
      this.waiting = [];
      this.timer = null;
      this.failures = 0;
    }

    put(item) {
      if (this.waiting.length < MAX_WAITING) this.waiting.push(item);
      if (hidden()) this.leave();
      else this.later(SOON_MS);
    }

    later(ms) {
      this.timer ??= setTimeout(() => this.send(), ms);
    }

    take() {
      clearTimeout(this.timer);
      this.timer = null;
      return this.waiting.splice(0, MAX_ITEMS);
    }

    body(items) {
      return JSON.stringify({ search_id: this.searchId, items });
    }

    async send() {
      const items = this.take();
      if (!items.length) return;
      const retryMs = await this.post(items);
      if (retryMs === null) this.failures = 0;
      else if (++this.failures < MAX_TRIES) {
        this.waiting.unshift(...items);
        clearTimeout(this.timer);
        this.timer = null;
        this.later(retryMs);
        return;
      }
      if (this.waiting.length) this.later(0);
    }

    // null: done with, for good or ill; else the milliseconds until it may be tried again.
    async post(items) {
      try {
        const answer = await fetch(this.endpoint, {
          method: "POST",
          mode: readable(this.endpoint) ? "cors" : "no-cors",
          headers: { "Content-Type": "text/plain" }, // asks no leave of another origin first
          body: this.body(items),
          keepalive: true,
          credentials: "omit",
        });
        if (answer.ok || answer.type === "opaque") return null; // opaque: accepted, for more is not told
        if (RETRIED.has(answer.status)) return this.pause(answer.headers.get("Retry-After"));
        console.warn(`sightline: ${items.length} reports were refused (${answer.status})`);
        return null;
      } catch {
        return this.pause(null);
      }
    }

    pause(retryAfter) {
      return Number(retryAfter) * 1000 || SOON_MS * 2 ** this.failures;
    }

    leave() {
      while (this.waiting.length) {
        const items = this.take();
        if (!navigator.sendBeacon?.(this.endpoint, this.body(items))) this.post(items);
      }
    }
  }

  class Page {
    constructor(answer, endpoint) {
      this.searchId = answer.search_id;
      this.started = now();
      this.positions = new Map(answer.results.map((one) => [one.image_id, one.position]));
      this.outbox = new Outbox(endpoint, answer.search_id);
      this.silent = answer.feedback === false; // nothing is recorded that clicks could be joined to
      this.views = new Map();
      this.images = new WeakMap();
      this.stay = null;
      this.ended = false;
      this.observer = new IntersectionObserver((seen) => this.look(seen), { threshold: [0, HALF] });
      this.timer = setInterval(() => this.tellViews(EXAMINED_MS), LOOK_AGAIN_MS);
    }

    observe(element, imageId) {
      if (this.silent || this.ended) return;
      if (!this.views.has(imageId)) this.views.set(imageId, { watch: new Stopwatch(), told: 0 });
      this.images.set(element, imageId);
      this.observer.observe(element);
    }

    clicked(imageId, { here = false } = {}) {
      if (this.silent) return;
      returned(); // one visitor is in one place
      this.report("clicked", imageId);
      this.stay = { imageId, since: now(), here: here ? new Stopwatch() : null, away: false };
      this.stay.here?.set(true);
      if (here) return;
      const { outbox, searchId, started } = this;
      const position = this.positions.get(imageId);
      remember({ endpoint: outbox.endpoint, searchId, started, imageId, position, since: now() });
    }

    liked(imageId) {
      this.report("liked", imageId);
    }

    shared(imageId) {
      this.report("shared", imageId);
    }

    converted(imageId) {
      this.report("converted", imageId);
    }

    // The visitor is back from what the last click led to, or goes on from there.
    returned() {
      const { stay } = this;
      if (!stay) return;
      this.stay = null;
      remember(null);
      if (!stay.here && !stay.away) return; // opened behind this tab, perhaps: nothing is known
      const spent = stay.here ? stay.here.total : now() - stay.since;
      this.report("viewed", stay.imageId, { dwell_ms: milliseconds(spent) });
    }

    report(kind, imageId, facts = {}) {
      if (this.silent) return;
      const item = { event_id: newId(), kind, image_id: imageId };
      if (this.positions.has(imageId)) item.position = this.positions.get(imageId);
      this.outbox.put({ ...item, since_answer_ms: milliseconds(now() - this.started), ...facts });
    }

    // Another page took this one's place; a stay that began here still ends with `returned`.
    end() {
      if (this.ended) return;
      this.tellViews(WORTH_TELLING_MS);
      this.outbox.send();
      this.ended = true;
      this.observer.disconnect();
      this.views.clear();
      clearInterval(this.timer);
    }

    look(seen) {
      for (const { target, isIntersecting, intersectionRatio } of seen) {
        const view = this.views.get(this.images.get(target));
        view?.watch.set(isIntersecting && intersectionRatio >= HALF);
      }
    }

    // Each tells the whole time so far: the join takes the greatest.
    tellViews(atLeastMs) {
      for (const [imageId, view] of this.views) {
        const total = milliseconds(view.watch.total);
        if (total - view.told < atLeastMs) continue;
        view.told = total;
        this.report("viewed", imageId, { in_view_ms: total });
      }
    }

    visibility() {
      for (const { watch } of this.views.values()) watch.tick();
      this.stay?.here?.tick();
      if (hidden()) {
        if (this.stay) this.stay.away = true;
        this.leave();
      } else if (this.stay && !this.stay.here && this.stay.away) this.returned();
    }

    leave() {
      this.tellViews(WORTH_TELLING_MS);
      this.outbox.leave();
    }
  }

  // The visitor goes on to something that no result led to.
  function returned() {
    pages.forEach((page) => page.returned());
  }

  const pages = new Set(); // the last few: what they have not sent may still wait
  let current = null;

  function track(answer, { endpoint } = {}) {
    current?.end();
    const home = library.home ?? document.baseURI;
    current = new Page(answer, new URL(endpoint ?? "v1/interactions", home).href);
    pages.add(current);
    if (pages.size > MAX_PAGES) pages.delete(pages.values().next().value);
    return current;
  }

  // Back from what a click led to, and the page was loaded anew.
  function returnedByReload() {
    let stay = null;
    try {
      stay = JSON.parse(sessionStorage.getItem(STAY));
    } catch {
      return;
    }
    if (!stay) return;
    remember(null);
    if (performance.getEntriesByType("navigation")[0]?.type !== "back_forward") return;
    const outbox = new Outbox(stay.endpoint, stay.searchId);
    const item = { event_id: newId(), kind: "viewed", image_id: stay.imageId };
    if (stay.position) item.position = stay.position;
    item.since_answer_ms = milliseconds(now() - stay.started);
    outbox.put({ ...item, dwell_ms: milliseconds(now() - stay.since) });
  }

  const each = (what) => () => pages.forEach(what);
  document.addEventListener("visibilitychange", each((page) => page.visibility()));
  addEventListener("pagehide", each((page) => {
    if (page.stay?.here) page.returned();
    if (page.stay) page.stay.away = true;
    page.leave();
  }));
  addEventListener("pageshow", each((page) => page.visibility()));
  returnedByReload();
  return library;
})();
