/** The order of a job's bytes on their way to the screen: offsets are checked, gaps asked for, progress told. */

export interface FlowParts {
  /** Draw bytes; call back when they are drawn. */
  draw(bytes: Uint8Array, replay: boolean, drawn: () => void): void;
  ask(offset: number): void;
  ack(offset: number): void;
}

/** Tell the kernel after so many bytes; each message makes its indicator busy. */
export const ACK_BYTES = 64 * 1024;
/** Or when nothing has been drawn for so long, in milliseconds. */
export const IDLE = 100;
/** How long a gap may stay before it is asked for again, in milliseconds. */
export const PATIENCE = 2000;

export class Flow {
  /** All bytes before this offset have been handed to the screen. */
  private next = 0;
  /** All bytes before this offset are drawn. */
  private drawn = 0;
  private told = 0;
  /** Counts screens: what was handed over before a screen is no news when it is drawn after. */
  private generation = 0;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private patience: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly parts: FlowParts) {}

  get offset(): number {
    return this.next;
  }

  /** Begin anew, as an opened panel does. */
  reset(): void {
    this.stop();
    this.generation += 1;
    this.next = this.drawn = this.told = 0;
  }

  stop(): void {
    clearTimeout(this.idle);
    clearTimeout(this.patience);
    this.patience = undefined;
  }

  /** A screen that stands for all bytes before the offset. */
  screen(offset: number, bytes: Uint8Array): void {
    this.reset();
    this.next = this.told = offset;
    this.draw(bytes, true);
  }

  /** The bytes from the offset on. */
  output(offset: number, bytes: Uint8Array, replay = false): void {
    const end = offset + bytes.length;
    if (offset > this.next) {
      this.want();
      return;
    }
    if (end <= this.next) return;
    const fresh = bytes.subarray(this.next - offset);
    this.next = end;
    this.calm();
    this.draw(fresh, replay);
  }

  /** So many bytes there are by now; those that are missing are asked for if they do not come by themselves. */
  expect(size: number): void {
    if (size > this.next && this.patience === undefined) this.patience = setTimeout(this.again, PATIENCE);
  }

  private draw(bytes: Uint8Array, replay: boolean): void {
    const { generation, next } = this;
    this.parts.draw(bytes, replay, () => {
      if (generation !== this.generation) return;
      this.drawn = next;
      clearTimeout(this.idle);
      if (this.drawn - this.told >= ACK_BYTES) this.tell();
      else this.idle = setTimeout(() => this.tell(), IDLE);
    });
  }

  private tell(): void {
    clearTimeout(this.idle);
    this.told = this.drawn;
    this.parts.ack(this.drawn);
  }

  private want(): void {
    if (this.patience !== undefined) return;
    this.again();
  }

  private calm(): void {
    clearTimeout(this.patience);
    this.patience = undefined;
  }

  private readonly again = (): void => {
    this.patience = setTimeout(this.again, PATIENCE);
    this.parts.ask(this.next);
  };
}
