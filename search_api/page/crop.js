// A box drawn on the picture, by pointer or keyboard, as fractions of the picture.

const SMALLEST = 0.04;
const STEP = 0.02;
const FIRST = { x: 0.25, y: 0.25, w: 0.5, h: 0.5 };

const within = (value, low, high) => Math.min(high, Math.max(low, value));

export class CropBox {
  constructor(stage, element, changed) {
    this.stage = stage;
    this.element = element;
    this.changed = changed;
    this.box = null;
    this.enabled = true;
    stage.addEventListener("pointerdown", (event) => this.#start(event));
    stage.addEventListener("keydown", (event) => this.#key(event));
  }

  clear() {
    this.#set(null);
  }

  // "x,y,w,h", rounded so that it stays inside the picture; null: the whole picture.
  get text() {
    if (!this.box) return null;
    const { x, y, w, h } = this.box;
    const down = (value) => Math.floor(value * 1000) / 1000;
    return [down(x), down(y), down(w), down(h)].join(",");
  }

  #start(event) {
    if (event.button !== 0 || !this.enabled) return;
    const picture = this.stage.querySelector("img").getBoundingClientRect();
    const at = (e) => ({
      x: within((e.clientX - picture.left) / picture.width, 0, 1),
      y: within((e.clientY - picture.top) / picture.height, 0, 1),
    });
    const from = at(event);
    const before = this.box;
    const move = (e) => {
      const to = at(e);
      this.#set({
        x: Math.min(from.x, to.x), y: Math.min(from.y, to.y),
        w: Math.abs(from.x - to.x), h: Math.abs(from.y - to.y),
      });
    };
    const end = () => {
      this.stage.removeEventListener("pointermove", move);
      if (this.box && (this.box.w < SMALLEST || this.box.h < SMALLEST)) this.#set(null);
      if (this.box !== before) this.changed();
    };
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", move);
    this.stage.addEventListener("pointerup", end, { once: true });
    this.stage.addEventListener("pointercancel", end, { once: true });
  }

  #key(event) {
    if (!this.enabled) return;
    const arrows = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (event.key === "Enter" && !this.box) this.#set({ ...FIRST });
    else if (event.key === "Escape" && this.box) this.#set(null);
    else if (event.key in arrows && this.box) this.#nudge(arrows[event.key], event.shiftKey);
    else return;
    event.preventDefault();
    clearTimeout(this.soon);
    this.soon = setTimeout(this.changed, 250);
  }

  #nudge([dx, dy], resize) {
    const { x, y, w, h } = this.box;
    this.#set(resize
      ? { x, y, w: within(w + dx, SMALLEST, 1 - x), h: within(h + dy, SMALLEST, 1 - y) }
      : { x: within(x + dx, 0, 1 - w), y: within(y + dy, 0, 1 - h), w, h });
  }

  #set(box) {
    this.box = box;
    this.element.hidden = !box;
    if (!box) return;
    for (const [name, value] of Object.entries({ left: box.x, top: box.y, width: box.w, height: box.h })) {
      this.element.style.setProperty(name, `${value * 100}%`);
    }
  }
}
