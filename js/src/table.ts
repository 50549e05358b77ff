/** The table of all jobs, as a live view. */
import { element, say } from "./dom.ts";
import { Greeting } from "./greeting.ts";
import type { FromKernel, JobStatus } from "./messages.ts";
import type { Model } from "./model.ts";
import { Rows, type RowsForm } from "./rows.ts";
import { keepPlainKeys } from "./shortcuts.ts";
import { isOver, markOf } from "./status.ts";
import { type Send, Transport } from "./transport.ts";
import { humanBytes, humanSeconds } from "./words.ts";

const JOBS: RowsForm<JobStatus> = {
  label: "Jobs",
  key: ({ name }) => name,
  called: ({ name }) => name,
  kind: ({ kind }) => kind,
  can: ({ can }) => can ?? [],
  actions: ["stop", "restart", "forget", "signal"],
  columns: [
    { head: "name", class: "ipyproc-name-cell", text: ({ name }) => name },
    { head: "pid", text: ({ pid }) => (pid ? String(pid) : "") },
    {
      head: "state",
      class: "ipyproc-state",
      text: ({ kind, words, left }) => `${markOf(kind)} ${left ? `left ${left} running` : words}`,
    },
    {
      head: "restarts",
      text: ({ restarts }) => String(restarts ?? 0),
      shown: (jobs) => jobs.some(({ restarts }) => restarts),
    },
    {
      head: "time",
      text: (job, since) =>
        typeof job.seconds === "number" ? humanSeconds(job.seconds + (isOver(job) ? 0 : since)) : "",
    },
    { head: "CPU", text: ({ cpu }) => (typeof cpu === "number" ? `${Math.round(cpu)} %` : "") },
    { head: "memory", text: ({ memory }) => (memory ? humanBytes(memory) : "") },
    { head: "output", text: ({ size }) => (size === undefined ? "" : humanBytes(size)) },
    {
      head: "last line",
      class: "ipyproc-last",
      text: ({ last }) => last ?? "",
      shown: (jobs) => jobs.some(({ last }) => last),
    },
  ],
};

export class TableView {
  readonly root: HTMLElement;
  private readonly transport: Transport;
  private readonly greeting: Greeting;
  private readonly rows: Rows<JobStatus>;
  private readonly caption = element("div", { class: "ipyproc-note" });
  private readonly note = element("div", { class: "ipyproc-note", role: "status" });
  private readonly freeKeys: () => void;
  private readonly clock: ReturnType<typeof setInterval>;
  private jobs: readonly JobStatus[] = [];
  private gone = false;

  constructor(model: Model, send: Send) {
    this.transport = new Transport(model, send, {
      message: (message) => this.take(message),
      gone: () => this.lose(),
      back: () => (this.gone ? this.hello() : this.greeting.begin()),
    });
    this.greeting = new Greeting(() => this.hello());
    this.rows = new Rows(JOBS, ({ name }, action, signal) => {
      this.tell("");
      this.transport.send({ type: "act", do: action, name, ...(signal && { signal }) });
    });
    this.caption.hidden = this.note.hidden = true;
    this.root = element("div", { class: "ipyproc-view", role: "group", label: "Jobs" });
    this.root.append(this.rows.root, this.caption, this.note);
    this.freeKeys = keepPlainKeys(this.root);
    this.clock = setInterval(() => !this.gone && this.rows.draw(), 1000);
    this.greeting.begin();
  }

  close(): void {
    clearInterval(this.clock);
    this.greeting.end();
    this.freeKeys();
    this.transport.close();
    this.root.remove();
  }

  private hello(): void {
    this.transport.send({ type: "hello", age: performance.now() / 1000 });
  }

  private take(message: FromKernel): void {
    if (message.type === "note") this.tell(message.text);
    if (message.type !== "table") return;
    this.greeting.end();
    this.gone = false;
    this.root.dataset.gone = "false";
    this.jobs = message.rows;
    this.rows.update(this.jobs, !message.over);
    const caption = message.caption ?? (this.jobs.length ? "" : "no jobs yet; %%spawn starts one");
    say(this.caption, caption);
    this.caption.hidden = !caption;
  }

  private lose(): void {
    this.gone = true;
    this.greeting.end();
    this.root.dataset.gone = "true";
    this.rows.update(this.jobs, false);
    this.tell("The kernel has gone; this is what was last known.");
  }

  private tell(text: string): void {
    say(this.note, text);
    this.note.hidden = !text;
  }
}
