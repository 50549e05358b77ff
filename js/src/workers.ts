/** The workers of a group: a row each, with its own buttons. */
import { button, element, say } from "./dom.ts";
import { RESTART } from "./icons.ts";
import { Menu } from "./menu.ts";
import type { Action, WorkerStatus } from "./messages.ts";
import { markOf, SIGNALS } from "./status.ts";
import { humanBytes, humanRate, humanSeconds } from "./words.ts";

export type WorkerAct = (action: Action, worker: number, signal?: string) => void;

const HEADS = ["task", "pid", "state", "restarts", "uptime", "CPU", "memory", "ops/s", ""];
const KINDS: Record<string, string> = { running: "running", starting: "starting", restarting: "waiting" };

class Row {
  readonly root = element("tr");
  private readonly cells = HEADS.slice(0, -1).map(() => element("td"));
  private readonly restart: HTMLButtonElement;
  private readonly signal: Menu;

  constructor(n: number, act: WorkerAct) {
    this.restart = button("", RESTART, () => act("restart", n), `Restart worker ${n}`);
    const send = (name: string) => act("signal", n, name);
    this.signal = new Menu("Signal", `Send a signal to worker ${n}`, SIGNALS, send);
    this.root.append(...this.cells, element("td", {}, this.restart, this.signal.root));
  }

  update(worker: WorkerStatus, usable: boolean): void {
    const { n, state, pid, restarts, seconds, cpu, memory, operations } = worker;
    const kind = KINDS[state] ?? (worker.exit ? "failed" : "ok");
    const texts = [
      String(n),
      pid ? String(pid) : "",
      `${markOf(kind)} ${state}`,
      restarts ? String(restarts) : "0",
      typeof seconds === "number" ? humanSeconds(seconds) : "",
      typeof cpu === "number" ? `${Math.round(cpu)} %` : "",
      memory ? humanBytes(memory) : "",
      typeof operations === "number" ? humanRate(operations) : "",
    ];
    texts.forEach((text, index) => {
      const cell = this.cells[index];
      if (cell) say(cell, text);
    });
    this.root.dataset.kind = kind;
    const can = (action: Action) => usable && (worker.can ? worker.can.includes(action) : Boolean(pid));
    this.restart.disabled = !can("restart");
    this.signal.enabled = can("signal");
  }
}

export class Workers {
  readonly root: HTMLElement;
  private readonly body = element("tbody");
  private readonly rows = new Map<number, Row>();

  constructor(private readonly act: WorkerAct) {
    const heads = HEADS.map((text) => element("th", { text }));
    for (const head of heads) head.scope = "col";
    const table = element("table", { class: "ipyproc-table", label: "Workers" });
    table.append(element("thead", {}, element("tr", {}, ...heads)), this.body);
    this.root = element("div", { class: "ipyproc-rows" }, table);
    this.root.hidden = true;
  }

  /** Rows stay the elements that they are, so that the focus stays on its button. */
  update(workers: WorkerStatus[], usable: boolean): void {
    this.root.hidden = workers.length === 0;
    // Only workers that count their operations have a rate.
    this.root.dataset.counts = String(workers.some(({ operations }) => typeof operations === "number"));
    const seen = new Set<number>();
    for (const worker of workers) {
      seen.add(worker.n);
      let row = this.rows.get(worker.n);
      if (!row) {
        row = new Row(worker.n, this.act);
        this.rows.set(worker.n, row);
        this.body.append(row.root);
      }
      row.update(worker, usable);
    }
    for (const [n, row] of this.rows) {
      if (seen.has(n)) continue;
      row.root.remove();
      this.rows.delete(n);
    }
  }
}
