// Grades of one page: what was said, in which order, and what is to be sent. Knows no screen.

export const SKIPPED = "skipped";

export class Grading {
  // `images` as the sheet has them: {image_id, grade}; graded ones can be graded anew.
  constructor(images) {
    this.images = images;
    this.said = images.map((image) => image.grade ?? null);
    this.done = [];
    this.current = Math.max(0, this.said.indexOf(null));
  }

  get complete() {
    return this.said.every((grade) => grade !== null);
  }

  // What differs from what the service knows, by image.
  get unsent() {
    return this.images
      .map((image, at) => ({ image, grade: this.said[at] }))
      .filter(({ image, grade }) => Number.isInteger(grade) && grade !== image.grade);
  }

  say(grade) {
    this.done.push([this.current, this.said[this.current]]);
    this.said[this.current] = grade;
    const onward = [...this.said.keys()].map((step) => (this.current + 1 + step) % this.said.length);
    const open = onward.find((at) => this.said[at] === null);
    if (open !== undefined) this.current = open;
  }

  undo() {
    const last = this.done.pop();
    if (!last) return false;
    const [at, before] = last;
    this.said[at] = before;
    this.current = at;
    return true;
  }

  move(by) {
    this.current = Math.min(this.images.length - 1, Math.max(0, this.current + by));
  }
}
