/** Turns of all terminals of a page: ten floods together leave it time to answer. */

/** Milliseconds of drawing before the page gets a frame. */
const BUDGET = 8;
/** A page that is not shown has no frames: go on after so many milliseconds. */
const NO_FRAME = 100;

type Step = (done: () => void) => void;

class Turns {
  private readonly waiting: Queue[] = [];
  private busy = false;
  private began = 0;

  enter(queue: Queue): void {
    if (!this.waiting.includes(queue)) this.waiting.push(queue);
    this.go();
  }

  leave(queue: Queue): void {
    const at = this.waiting.indexOf(queue);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  private go(): void {
    if (this.busy) return;
    const urgent = this.waiting.findIndex((queue) => queue.isUrgent());
    const [queue] = this.waiting.splice(Math.max(0, urgent), 1);
    if (!queue) return;
    this.busy = true;
    const now = performance.now();
    if (now - this.began > 2 * BUDGET) this.began = now;
    queue.step(() => {
      if (queue.hasMore) this.waiting.push(queue);
      if (performance.now() - this.began < BUDGET) this.free();
      else this.afterFrame();
    });
  }

  private afterFrame(): void {
    const next = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      this.began = performance.now();
      this.free();
    };
    // After the frame is drawn, not before.
    const frame = requestAnimationFrame(() => setTimeout(next, 0));
    const timer = setTimeout(next, NO_FRAME);
  }

  private free(): void {
    this.busy = false;
    this.go();
  }
}

const turns = new Turns();

/** What one terminal has still to draw, in order. */
export class Queue {
  private steps: Step[] = [];
  private finish: (() => void) | null = null;

  /** @param isUrgent whether a person looks on: its turn comes first. */
  constructor(readonly isUrgent: () => boolean) {}

  get hasMore(): boolean {
    return this.steps.length > 0;
  }

  push(step: Step): void {
    this.steps.push(step);
    // One that draws already comes again by itself.
    if (!this.finish) turns.enter(this);
  }

  /** For the turns only. */
  step(done: () => void): void {
    const finish = () => {
      if (this.finish !== finish) return;
      this.finish = null;
      done();
    };
    this.finish = finish;
    // A step that fails must not hold up all terminals of the page.
    try {
      const step = this.steps.shift();
      if (step) step(finish);
      else finish();
    } catch (error) {
      console.error("ipyproc: a terminal was not drawn:", error);
      finish();
    }
  }

  /** Draw no more; what is being drawn may never end. */
  close(): void {
    this.steps = [];
    turns.leave(this);
    this.finish?.();
  }
}
