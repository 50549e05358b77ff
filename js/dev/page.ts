/**
 * The views of some jobs on a page, with no kernel: `npm run dev`, then /js/dev/index.html?dark=1 there.
 * `recording=NAME` replays a recording of tests/screen in an open terminal; without it, the states are shown.
 */
import { render } from "../src/index.ts";
import type { JobStatus } from "../src/messages.ts";
import { send } from "../src/model.ts";
import { FakeKernel, RUNNING, USAGE } from "./kernel.ts";

const PIECE = 16 * 1024;

const kernels: FakeKernel[] = [];
// For the browser's console, as in `kernels[0].say({ type: "note", text: "Hello." })`.
Object.assign(globalThis, { kernels });

function show(job: JobStatus, open = false, output: Uint8Array = new Uint8Array()): FakeKernel {
  const kernel = new FakeKernel({ key: job.name }, ({ type, page, ...rest }, from) => {
    console.log("page:", type, JSON.stringify(rest));
    if (type === "hello") {
      from.say({ type: "status", page, job, open });
      from.say({ type: "usage", page, points: USAGE, all: true });
    }
    if (type === "open") {
      for (let at = 0; at < output.length; at += PIECE) {
        from.say({ type: "output", page, offset: at }, output.subarray(at, at + PIECE));
      }
    }
    if (type === "save") from.say({ type: "file", page, name: `${job.name}.txt` }, output);
    if (type === "act") from.say({ type: "note", page, text: "There is no kernel behind this page." });
  });
  const el = document.createElement("div");
  document.body.append(el);
  render({ model: kernel, el, send });
  kernels.push(kernel);
  return kernel;
}

const query = new URLSearchParams(location.search);
document.body.dataset.jpThemeLight = String(!query.has("dark"));
const recording = query.get("recording");
if (recording) {
  const file = await fetch(`/tests/screen/recordings/${recording}.ansi`);
  show({ ...RUNNING, name: recording, command: recording }, true, new Uint8Array(await file.arrayBuffer()));
} else {
  show(RUNNING);
  show({ ...RUNNING, name: "ask", command: "bash ask.sh", wants_input: true });
  show({ ...RUNNING, name: "sudo", command: "sudo true", wants_input: true, hides: true });
  show({ ...RUNNING, name: "web", command: "python -m http.server 8000", url: "http://127.0.0.1:8000/" });
  const long = `python -c "${"import this; ".repeat(20)}"`;
  show({ ...RUNNING, name: "long", command: long, notes: ["output reached its limit"], notify: true });
  show({ ...RUNNING, name: "again", kind: "waiting", words: "waiting to restart", notes: ["in 4 s"] });
  show({ ...RUNNING, name: "good", kind: "ok", words: "exit 0", can: ["restart", "save", "forget"] });
  show({ ...RUNNING, name: "bad", kind: "failed", words: "exit 2", can: ["restart"], left: 2 });
  show({ ...RUNNING, name: "cut", kind: "stopped", words: "stopped, SIGTERM", can: ["restart"] });
  const gone = show({ ...RUNNING, name: "lost" });
  setTimeout(() => gone.emit("comm_live_update"), 200);
  const workers = [0, 1, 2, 3].map((n) => ({
    n,
    state: n === 2 ? "restarting" : "running",
    pid: n === 2 ? null : 5000 + n,
    restarts: n === 2 ? 3 : 0,
    seconds: 83,
    cpu: 97 - n,
    memory: 1.2e8,
  }));
  show({ ...RUNNING, name: "group", command: "serve", workers });
  const rows = [RUNNING, { ...RUNNING, name: "good", kind: "ok", words: "exit 0", pid: null, can: [] }].map(
    (job) => ({
      ...job,
      cpu: 93,
      memory: 3.1e8,
      size: 123_456,
      last: "epoch 12 of 40, loss 0.0123 ".repeat(3),
    }),
  );
  const table = new FakeKernel({ kind: "table" }, ({ type, page, ...rest }, from) => {
    console.log("page:", type, JSON.stringify(rest));
    if (type === "hello") from.say({ type: "table", page, rows: rows as JobStatus[] });
  });
  const el = document.createElement("div");
  document.body.append(el);
  render({ model: table, el, send });
}
