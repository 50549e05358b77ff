/** One view's line to the kernel: what it says carries its page's name, what it hears is for it or for all. */
import type { FromKernel, FromPage } from "./messages.ts";
import { bytesOf, type Kernel, kernelOf, type Model } from "./model.ts";

export type Send = (model: Model, content: object) => void;

export interface Listener {
  message(message: FromKernel, buffers: Uint8Array[]): void;
  /** The kernel has gone, or was restarted: nothing more will come. */
  gone(): void;
  /** The page was cut off from the server and is connected again; what was said meanwhile is lost. */
  back(): void;
}

const ENDS = ["restarting", "autorestarting", "dead", "terminating"];

export class Transport {
  /** The name of this view on this page; the kernel addresses it by that. */
  readonly page = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");
  private readonly kernel: Kernel | null;
  private cut = false;

  constructor(
    private readonly model: Model,
    private readonly sender: Send,
    private readonly listener: Listener,
  ) {
    this.kernel = kernelOf(model);
    model.on("msg:custom", this.take);
    model.on("comm_live_update", this.lose);
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("pageshow", this.come);
    this.kernel?.statusChanged?.connect(this.watchKernel);
    this.kernel?.connectionStatusChanged?.connect(this.watchConnection);
  }

  send(message: FromPage): void {
    // A connection that is closed for good throws; the view learns of that by the kernel's status.
    try {
      this.sender(this.model, { ...message, page: this.page });
    } catch (error) {
      console.warn("ipyproc: a message was not sent:", error);
    }
  }

  close(): void {
    this.leave();
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("pageshow", this.come);
    this.model.off("msg:custom", this.take);
    this.model.off("comm_live_update", this.lose);
    this.kernel?.statusChanged?.disconnect(this.watchKernel);
    this.kernel?.connectionStatusChanged?.disconnect(this.watchConnection);
  }

  private readonly take = (message: FromKernel, buffers?: (ArrayBuffer | ArrayBufferView)[]): void => {
    if (typeof message?.type !== "string") return;
    if ("page" in message && message.page && message.page !== this.page) return;
    this.listener.message(message, (buffers ?? []).map(bytesOf));
  };

  /** A page that is loaded anew gives the terminal's size back before it comes again. */
  private readonly leave = (): void => this.send({ type: "bye" });

  private readonly come = (event: PageTransitionEvent): void => {
    if (event.persisted) this.listener.back();
  };

  private readonly lose = (): void => this.listener.gone();

  private readonly watchKernel = (_: unknown, status: unknown): void => {
    if (ENDS.includes(String(status))) this.listener.gone();
  };

  private readonly watchConnection = (_: unknown, status: unknown): void => {
    if (status === "connected" && this.cut) this.listener.back();
    this.cut = status !== "connected";
  };
}
