/** How the workers of a group are shown: a row each. */
import type { WorkerStatus } from "./messages.ts";
import type { RowsForm } from "./rows.ts";
import { markOf } from "./status.ts";
import { humanBytes, humanRate, humanSeconds } from "./words.ts";

const KINDS: Record<string, string> = { running: "running", starting: "starting", restarting: "waiting" };

function kindOf({ state, exit }: WorkerStatus): string {
  return KINDS[state] ?? (exit ? "failed" : "ok");
}

const number = (value: number | null | undefined, words: (value: number) => string) =>
  typeof value === "number" ? words(value) : "";

export const WORKERS: RowsForm<WorkerStatus> = {
  label: "Workers",
  key: ({ n }) => n,
  called: ({ n }) => `worker ${n}`,
  kind: kindOf,
  can: ({ can, pid }) => can ?? (pid ? ["restart", "signal"] : []),
  actions: ["restart", "signal"],
  columns: [
    { head: "task", text: ({ n }) => String(n) },
    { head: "pid", text: ({ pid }) => (pid ? String(pid) : "") },
    {
      head: "state",
      class: "ipyproc-state",
      text: (worker) => `${markOf(kindOf(worker))} ${worker.state}`,
    },
    {
      head: "last exit",
      text: ({ exit }) => number(exit, (status) => (status < 0 ? `signal ${-status}` : `exit ${status}`)),
      shown: (workers) => workers.some(({ exit }) => typeof exit === "number"),
    },
    { head: "restarts", text: ({ restarts }) => String(restarts ?? 0) },
    {
      head: "uptime",
      text: ({ seconds, state }, since) =>
        number(seconds, (value) => humanSeconds(value + (state === "running" ? since : 0))),
    },
    { head: "CPU", text: ({ cpu }) => number(cpu, (value) => `${Math.round(value)} %`) },
    { head: "memory", text: ({ memory }) => (memory ? humanBytes(memory) : "") },
    {
      head: "ops/s",
      text: ({ operations }) => number(operations, humanRate),
      shown: (workers) => workers.some(({ operations }) => typeof operations === "number"),
    },
  ],
};
