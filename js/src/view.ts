/** The live view of one job: puts the parts together, and says which message goes to which. */
import { copyText } from "./clipboard.ts";
import { element, say } from "./dom.ts";
import { Flow } from "./flow.ts";
import { Greeting } from "./greeting.ts";
import { InputBox } from "./input.ts";
import type { Action, FromKernel, JobStatus, WorkerStatus } from "./messages.ts";
import type { Model } from "./model.ts";
import { Notices } from "./notices.ts";
import { Rows } from "./rows.ts";
import { keepPlainKeys } from "./shortcuts.ts";
import { Sparkline } from "./sparkline.ts";
import { isOver, StatusLine } from "./status.ts";
import { TerminalPanel } from "./terminal.ts";
import { type Send, Transport } from "./transport.ts";
import { WORKERS } from "./workers.ts";

export class JobView {
  readonly root: HTMLElement;
  private readonly transport: Transport;
  private readonly status: StatusLine;
  private readonly usage = new Sparkline();
  private readonly notices = new Notices();
  private readonly input: InputBox;
  private readonly workers: Rows<WorkerStatus>;
  private readonly greeting = new Greeting(() => this.greet());
  private readonly note = element("div", { class: "ipyproc-note", role: "status" });
  private readonly flow: Flow;
  private readonly freeKeys: () => void;
  private readonly clock: ReturnType<typeof setInterval>;
  private panel: TerminalPanel | null = null;
  private job: JobStatus | null = null;
  private gone = false;
  /** Whether the next output is the first of an empty terminal. */
  private begins = false;
  private wantsText = false;

  constructor(
    private readonly model: Model,
    send: Send,
  ) {
    this.transport = new Transport(model, send, {
      message: (message, buffers) => this.take(message, buffers),
      gone: () => this.lose(),
      back: () => (this.gone ? this.hello() : this.greeting.begin()),
    });
    this.flow = new Flow({
      draw: (bytes, replay, drawn) => this.panel?.draw(bytes, replay, drawn),
      ask: (offset) => this.transport.send({ type: "ask", offset }),
      ack: (offset) => this.transport.send({ type: "ack", offset }),
    });
    this.status = new StatusLine(
      {
        act: (action, signal) => this.act({ do: action, ...(signal && { signal }) }),
        terminal: () => (this.panel ? this.shut() : this.open(true)),
        copy: () => this.copy(),
        save: () => this.transport.send({ type: "save" }),
      },
      this.usage.root,
      this.notices.root,
    );
    this.input = new InputBox(
      (line) => this.transport.send({ type: "input", data: line, line: true }),
      () => this.act({ do: "close" }),
    );
    this.workers = new Rows(WORKERS, ({ n }, action, signal) =>
      this.act({ do: action, worker: n, ...(signal && { signal }) }),
    );
    this.note.hidden = true;
    this.root = element("div", { class: "ipyproc-view", role: "group", label: "Job" });
    this.root.append(this.status.root, this.input.root, this.note, this.workers.root);
    this.freeKeys = keepPlainKeys(this.root);
    this.clock = setInterval(() => !this.gone && this.workers.draw(), 1000);
    this.greeting.begin();
  }

  close(): void {
    this.greeting.end();
    clearInterval(this.clock);
    this.freeKeys();
    this.transport.close();
    this.flow.stop();
    this.status.close();
    this.panel?.close();
    this.root.remove();
  }

  /** Say that this view is there, and where its screen stands. */
  private greet(): void {
    this.hello();
    if (this.panel) this.fetch(this.panel);
  }

  private hello(): void {
    this.transport.send({ type: "hello", age: performance.now() / 1000 });
  }

  private take(message: FromKernel, buffers: Uint8Array[]): void {
    if (message.type !== "code") this.revive();
    const bytes = buffers[0] ?? new Uint8Array();
    switch (message.type) {
      case "status":
      case "ended":
        this.greeting.end();
        this.show(message.job);
        if (message.open && !this.panel) this.open(false);
        if (message.notify) this.notify(message.notify);
        break;
      case "usage":
        this.usage.add(message.points, message.all ?? false);
        break;
      case "screen":
        if (!this.panel) break;
        if (message.owner !== undefined) this.panel.owns = message.owner === this.transport.page;
        this.begins = false;
        this.panel.begin(message.rows, message.columns);
        this.flow.screen(message.offset, bytes);
        this.panel.settle();
        break;
      case "output":
        if (!this.panel) break;
        if (this.begins) this.panel.begin(this.panel.size.rows, this.panel.size.columns);
        this.begins = false;
        this.flow.output(message.offset, bytes, message.replay);
        break;
      case "file":
        this.receive(message.name, bytes, message.text ?? this.wantsText);
        break;
      case "note":
        this.tell(message.text);
        break;
    }
  }

  private show(job: JobStatus): void {
    this.job = job;
    this.root.dataset.gone = String(this.gone);
    this.status.update(job, this.gone);
    const ended = isOver(job) || this.gone;
    const can = job.can ?? [];
    this.input.hides = job.hides ?? false;
    this.input.update(job.wants_input ?? false, ended, can.includes("close"));
    if (job.workers) this.workers.update(job.workers, !this.gone);
    this.notices.wanted = Boolean(job.notify) && !ended;
    if (this.panel && job.size !== undefined) this.flow.expect(job.size);
  }

  private lose(): void {
    this.greeting.end();
    this.gone = true;
    this.flow.stop();
    if (this.job) this.show(this.job);
    else this.tell("The kernel has gone.");
    this.root.dataset.gone = "true";
  }

  /** What the kernel says proves that it is there. */
  private revive(): void {
    if (!this.gone) return;
    this.gone = false;
    if (this.job) this.show(this.job);
    this.root.dataset.gone = "false";
    if (this.panel) this.fetch(this.panel);
  }

  /** @param asked whether a person asked for it: the program then takes this page's size. */
  private open(asked: boolean): void {
    const panel = new TerminalPanel(
      {
        typed: (data) => !this.gone && this.transport.send({ type: "input", data, line: false }),
        resized: (rows, columns) => this.transport.send({ type: "resize", rows, columns }),
        left: () => this.status.terminalButton.focus(),
      },
      this.job?.tty ?? true,
      asked,
    );
    this.root.append(panel.root);
    panel.open();
    this.panel = panel;
    this.status.terminalShown = true;
    this.fetch(panel);
    if (asked) panel.focus();
  }

  /** Ask for the panel's screen anew. What it shows stays until that comes: the kernel may be gone. */
  private fetch(panel: TerminalPanel): void {
    this.flow.reset();
    this.begins = true;
    this.transport.send({ type: "open", ...panel.size, owns: panel.owns });
  }

  private shut(): void {
    this.panel?.close();
    this.panel = null;
    this.flow.reset();
    this.status.terminalShown = false;
    this.transport.send({ type: "shut" });
  }

  private act(what: { do: Action; signal?: string; worker?: number }): void {
    this.tell("");
    this.transport.send({ type: "act", ...what });
  }

  private copy(): void {
    if (this.panel) {
      this.put(this.panel.text);
      return;
    }
    this.wantsText = true;
    this.transport.send({ type: "save", text: true });
  }

  private receive(name: string, bytes: Uint8Array, text: boolean): void {
    this.wantsText = false;
    if (text) {
      this.put(new TextDecoder().decode(bytes));
      return;
    }
    const url = URL.createObjectURL(new Blob([new Uint8Array(bytes)]));
    const link = element("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  private put(text: string): void {
    copyText(text).then(
      () => this.tell("Copied."),
      (error: Error) => this.tell(error.message),
    );
  }

  private notify(notice: { title: string; text: string }): void {
    const key = String(this.model.get("key") ?? "");
    if (!this.notices.show(notice, key)) this.tell(`${notice.title}: ${notice.text}`);
  }

  private tell(text: string): void {
    say(this.note, text);
    this.note.hidden = !text;
  }
}
