/** A kernel's side of the view without a kernel: it replays a recording, and prints what the page says. */
import type { FromPage, JobStatus, UsagePoint } from "../src/messages.ts";
import type { Model } from "../src/model.ts";

type Heard = FromPage & { page?: string };
type Said = { type: string; page?: string | undefined } & Record<string, unknown>;

export class FakeKernel implements Model {
  readonly heard: Heard[] = [];
  private readonly listeners = new Map<string, Set<(...args: never[]) => void>>();

  /**
   * @param traits the model's.
   * @param answer called for each message of the page.
   */
  constructor(
    private readonly traits: Record<string, unknown>,
    private readonly answer: (message: Heard, kernel: FakeKernel) => void = () => {},
  ) {}

  get(name: string): unknown {
    return this.traits[name];
  }

  send(content: Heard): void {
    this.heard.push(content);
    queueMicrotask(() => this.answer(content, this));
  }

  on(name: string, callback: (...args: never[]) => void): void {
    const known = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, known.add(callback));
  }

  off(name: string, callback: (...args: never[]) => void): void {
    this.listeners.get(name)?.delete(callback);
  }

  say(message: Said, ...buffers: Uint8Array[]): void {
    this.emit("msg:custom", message, buffers);
  }

  emit(name: string, ...args: unknown[]): void {
    for (const callback of this.listeners.get(name) ?? []) callback(...(args as never[]));
  }
}

export const RUNNING: JobStatus = {
  name: "train",
  command: "python train.py --epochs 40 --lr 0.001",
  words: "running",
  kind: "running",
  pid: 4211,
  seconds: 83,
  can: ["stop", "restart", "signal", "close", "save"],
  tty: true,
};

export const USAGE: UsagePoint[] = Array.from({ length: 120 }, (_, index) => [
  index,
  60 + 40 * Math.sin(index / 9),
  2e8 + index * 1e6,
]);
