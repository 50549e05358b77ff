/** The line that says what a job is and does, with its buttons. */
import { button, element, safeUrl, say } from "./dom.ts";
import { COPY, FORGET, RESTART, SAVE, STOP, TERMINAL } from "./icons.ts";
import { Menu } from "./menu.ts";
import type { Action, JobStatus } from "./messages.ts";
import { humanSeconds } from "./words.ts";

export interface StatusParts {
  act(action: Action, signal?: string): void;
  terminal(): void;
  copy(): void;
  save(): void;
}

export const SIGNALS = "SIGINT SIGTERM SIGHUP SIGUSR1 SIGUSR2 SIGQUIT SIGSTOP SIGCONT SIGKILL".split(" ");

const MARKS: Record<string, string> = {
  running: "●",
  starting: "◌",
  stopping: "◌",
  waiting: "↻",
  ok: "✓",
  failed: "✗",
  stopped: "■",
  gone: "■",
};

const OVER = ["ok", "failed", "stopped", "gone"];

export function isOver(job: JobStatus): boolean {
  return OVER.includes(job.kind);
}

/** What is said of a job that ran when its kernel went. */
function past(job: JobStatus): string {
  return job.kept ? "goes on without the kernel" : `was ${job.words} when the kernel went`;
}

export function markOf(kind: string): string {
  return MARKS[kind] ?? "●";
}

export class StatusLine {
  readonly root: HTMLElement;
  /** Has the focus that leaves the terminal. */
  readonly terminalButton: HTMLButtonElement;
  private readonly mark = element("span", { class: "ipyproc-mark" });
  private readonly name = element("span", { class: "ipyproc-name" });
  private readonly command = element("span", { class: "ipyproc-command" });
  private readonly words = element("span", { class: "ipyproc-words" });
  private readonly facts = element("span", { class: "ipyproc-facts" });
  private readonly notes = element("span", { class: "ipyproc-notes" });
  private readonly link = element("a", { class: "ipyproc-link" });
  /** Changes of state only, for screen readers; the clock is not read out. */
  private readonly spoken = element("span", { class: "ipyproc-spoken", role: "status" });
  private readonly stop: HTMLButtonElement;
  private readonly restart: HTMLButtonElement;
  private readonly signal: Menu;
  private readonly copy: HTMLButtonElement;
  private readonly save: HTMLButtonElement;
  private readonly forget: HTMLButtonElement;
  private job: JobStatus | null = null;
  private gone = false;
  private shown = false;
  private told = 0;
  private clock: ReturnType<typeof setInterval> | undefined;

  /** @param extra stands between the text and the buttons. */
  constructor(parts: StatusParts, ...extra: HTMLElement[]) {
    this.mark.setAttribute("aria-hidden", "true");
    this.link.target = "_blank";
    this.link.rel = "noopener noreferrer";
    this.stop = button("Stop", STOP, () => parts.act("stop"), "Stop the job");
    this.restart = button("Restart", RESTART, () => parts.act("restart"), "Restart the job");
    this.signal = new Menu("Signal", "Send a signal", SIGNALS, (name) => parts.act("signal", name));
    this.terminalButton = button("Terminal", TERMINAL, parts.terminal, "Show the terminal");
    this.terminalButton.setAttribute("aria-expanded", "false");
    this.copy = button("Copy", COPY, parts.copy, "Copy the output as text");
    this.save = button("Save", SAVE, parts.save, "Save the output to a file");
    const forget = () => parts.act("forget");
    this.forget = button("Forget", FORGET, forget, "Remove the job from the table, and its output");
    const text = element("div", { class: "ipyproc-text" });
    text.append(this.mark, this.name, this.command, this.words, this.facts, this.link, this.notes);
    const tools = element("div", { class: "ipyproc-tools", role: "toolbar", label: "Job" });
    tools.append(
      this.stop,
      this.restart,
      this.signal.root,
      this.terminalButton,
      this.copy,
      this.save,
      this.forget,
    );
    this.root = element("div", { class: "ipyproc-status" }, text, ...extra, tools, this.spoken);
  }

  /** @param gone whether nothing more will come from the kernel. */
  update(job: JobStatus, gone: boolean): void {
    // The same status again (the kernel has gone) leaves the clock where it was.
    if (job !== this.job) this.told = performance.now();
    this.job = job;
    this.gone = gone;
    const over = isOver(job);
    const kind = gone && !over ? "gone" : job.kind;
    const words = gone && !over ? past(job) : job.words;
    this.root.dataset.kind = kind;
    say(this.mark, markOf(kind));
    say(this.name, job.name);
    // A job that is named after its program says the name once.
    const program = (job.command ?? "").split(" ")[0]?.split("/").at(-1);
    this.name.hidden = program === job.name;
    say(this.command, job.command ?? "");
    this.command.title = job.command ?? "";
    say(this.words, words);
    say(this.spoken, `${job.name}: ${words}`);
    say(this.notes, (job.notes ?? []).map((note) => ` · ${note}`).join(""));
    this.show(job.url);
    const can = (action: Action) => !gone && (job.can ?? []).includes(action);
    this.stop.disabled = !can("stop");
    this.restart.disabled = !can("restart");
    this.signal.enabled = can("signal");
    this.save.disabled = !can("save");
    this.forget.hidden = !can("forget");
    for (const part of [this.stop, this.signal.root]) part.hidden = over && !can("stop");
    this.allow();
    this.tick();
    clearInterval(this.clock);
    if (!over && !gone) this.clock = setInterval(() => this.tick(), 1000);
  }

  set terminalShown(shown: boolean) {
    this.terminalButton.setAttribute("aria-expanded", String(shown));
    this.terminalButton.title = shown ? "Hide the terminal" : "Show the terminal";
    this.terminalButton.setAttribute("aria-label", this.terminalButton.title);
    this.shown = shown;
    this.allow();
  }

  close(): void {
    clearInterval(this.clock);
  }

  /** A terminal that is open can be read, copied and closed when the kernel has gone; else there is none to have. */
  private allow(): void {
    this.terminalButton.disabled = this.copy.disabled = this.gone && !this.shown;
  }

  private show(url: string | null | undefined): void {
    const href = safeUrl(url);
    this.link.hidden = !href;
    if (!href) {
      this.link.removeAttribute("href");
      return;
    }
    this.link.href = href;
    say(this.link, href.replace(/^https?:\/\//, "").replace(/\/$/, ""));
  }

  private tick(): void {
    const { job } = this;
    if (!job) return;
    const facts: string[] = [];
    const over = isOver(job);
    if (!over && !this.gone && job.pid) facts.push(`pid ${job.pid}`);
    if (typeof job.seconds === "number") {
      const since = over ? 0 : (performance.now() - this.told) / 1000;
      facts.push(humanSeconds(job.seconds + since));
    }
    if (job.restarts) facts.push(`${job.restarts} restart${job.restarts > 1 ? "s" : ""}`);
    if (!over && typeof job.ready === "boolean") facts.push(job.ready ? "ready" : "not ready yet");
    if (job.left) facts.push(`left ${job.left} running`);
    say(this.facts, facts.map((fact) => ` · ${fact}`).join(""));
  }
}
