import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { FakeKernel, RUNNING, USAGE } from "../dev/kernel.ts";
import type { JobStatus } from "../src/messages.ts";
import { send } from "../src/model.ts";
import { JobView } from "../src/view.ts";
import { find, press } from "./page.ts";

let kernel: FakeKernel;
let view: JobView;

/** What the page has said of one type, without its name. */
function heard(type: string): unknown[] {
  return kernel.heard
    .filter((message) => message.type === type)
    .map(({ page: _, type: __, ...rest }) => rest);
}

function status(parts: Partial<JobStatus> = {}, more: object = {}): void {
  kernel.say({ type: "status", job: { ...RUNNING, ...parts }, ...more });
}

const text = (selector: string) => find(view.root, selector).textContent;
const named = (label: string) => find<HTMLButtonElement>(view.root, `[aria-label="${label}"]`);

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  // A page that is never late: all that is to be drawn is drawn in one frame.
  mock.method(performance, "now", () => 1000);
  // Node's mock never runs a timer without a time, which xterm.js sets.
  const { setTimeout: mocked } = globalThis;
  globalThis.setTimeout = ((call: () => void, time = 1) => mocked(call, time)) as typeof setTimeout;
  kernel = new FakeKernel({ key: "train", version: "1" });
  view = new JobView(kernel, send);
  document.body.append(view.root);
});

afterEach(() => {
  view.close();
  mock.timers.reset();
  mock.restoreAll();
});

test("a view says hello until the kernel answers", () => {
  assert.equal(heard("hello").length, 1);
  mock.timers.tick(5_000);
  mock.timers.tick(10_000);
  assert.equal(heard("hello").length, 3);
  status();
  mock.timers.tick(100_000);
  assert.equal(heard("hello").length, 3);
});

test("all that comes from outside is text", () => {
  const evil = "<img src=x onerror=alert(1)>";
  const workers = [{ n: 0, state: evil, pid: 1 }];
  status({ name: evil, command: evil, words: evil, notes: [evil], url: "javascript:alert(1)", workers });
  kernel.say({ type: "note", text: evil });
  assert.equal(view.root.querySelector("img"), null);
  assert.equal(text(".ipyproc-name"), evil);
  assert.equal(text(".ipyproc-note"), evil);
  assert.equal(find(view.root, ".ipyproc-link").hidden, true);
  assert.equal(view.root.querySelector("a[href]"), null);
});

test("buttons do what the job can, and nothing else", () => {
  status({ can: ["stop", "signal"] });
  named("Stop the job").click();
  named("Restart the job").click();
  assert.equal(named("Restart the job").disabled, true);
  assert.deepEqual(heard("act"), [{ do: "stop" }]);
  status({ can: ["restart"], kind: "ok", words: "exit 0" });
  assert.equal(named("Stop the job").hidden, true);
  named("Restart the job").click();
  assert.deepEqual(heard("act").at(-1), { do: "restart" });
});

test("the menu of signals is walked with the keys", () => {
  status();
  const opener = named("Send a signal");
  press(opener, "ArrowDown");
  assert.equal(opener.getAttribute("aria-expanded"), "true");
  assert.equal(document.activeElement?.textContent, "SIGINT");
  press(document.activeElement as Element, "ArrowUp");
  assert.equal(document.activeElement?.textContent, "SIGKILL");
  press(document.activeElement as Element, "Home");
  press(document.activeElement as Element, "ArrowDown");
  (document.activeElement as HTMLElement).click();
  assert.deepEqual(heard("act"), [{ do: "signal", signal: "SIGTERM" }]);
  assert.equal(document.activeElement, opener);
  press(opener, "ArrowDown");
  press(document.activeElement as Element, "Escape");
  assert.equal(opener.getAttribute("aria-expanded"), "false");
  assert.equal(heard("act").length, 1);
});

test("plain keys are the view's, and those with Ctrl the notebook's", () => {
  status();
  const seen: [string, string | undefined][] = [];
  const stop = named("Stop the job");
  // As JupyterLab listens: at the document, before what lies in it.
  const shortcuts = (event: KeyboardEvent) => seen.push([event.key, stop.dataset.lmSuppressShortcuts]);
  const bubbled: string[] = [];
  const classic = (event: KeyboardEvent) => bubbled.push(event.key);
  document.addEventListener("keydown", shortcuts, true);
  document.addEventListener("keydown", classic);
  press(stop, "Enter");
  press(stop, "s", { ctrlKey: true });
  document.removeEventListener("keydown", shortcuts, true);
  document.removeEventListener("keydown", classic);
  assert.deepEqual(seen, [
    ["Enter", "true"],
    ["s", undefined],
  ]);
  assert.deepEqual(bubbled, ["s"]);
});

test("the input box comes when the job waits, hides a password, and goes at the end", () => {
  const box = find<HTMLFormElement>(view.root, ".ipyproc-input");
  const field = find<HTMLInputElement>(box, "input");
  status();
  assert.equal(box.hidden, true);
  status({ wants_input: true });
  field.value = "half";
  status({ wants_input: true, hides: true });
  assert.deepEqual([box.hidden, field.type, field.value], [false, "password", ""]);
  field.value = " secret ";
  box.requestSubmit();
  assert.deepEqual(heard("input"), [{ data: " secret ", line: true }]);
  assert.equal(field.value, "");
  status({ wants_input: false });
  assert.equal(box.hidden, false);
  named("Close the job's input, as Ctrl+D does").click();
  assert.deepEqual(heard("act"), [{ do: "close" }]);
  kernel.say({ type: "ended", job: { ...RUNNING, kind: "ok", words: "exit 0" } });
  assert.equal(box.hidden, true);
});

test("the clock goes on by itself, and stops at the end", () => {
  status({ seconds: 60 });
  assert.match(text(".ipyproc-facts") ?? "", /pid 4211 · 1 min 00 s/);
  kernel.say({ type: "ended", job: { ...RUNNING, seconds: 61, kind: "failed", words: "exit 2", left: 2 } });
  assert.equal(text(".ipyproc-facts"), " · 1 min 01 s · left 2 running");
  assert.equal(text("[role=status].ipyproc-spoken"), "train: exit 2");
});

test("a message for another page is not for this one", () => {
  status();
  const { page } = kernel.heard[0] ?? {};
  kernel.say({ type: "note", page: "another", text: "not here" });
  assert.equal(text(".ipyproc-note"), "");
  kernel.say({ type: "note", page, text: "here" });
  assert.equal(text(".ipyproc-note"), "here");
});

test("when the kernel has gone the view says so, and can be read; when it speaks again it lives", () => {
  status({ wants_input: true });
  kernel.emit("comm_live_update");
  assert.equal(view.root.dataset.gone, "true");
  assert.equal(text(".ipyproc-words"), "was running when the kernel went");
  for (const label of [
    "Stop the job",
    "Show the terminal",
    "Copy the output as text",
    "Save the output to a file",
  ]) {
    assert.equal(named(label).disabled, true, label);
  }
  assert.equal(find(view.root, ".ipyproc-input").hidden, true);
  status();
  assert.equal(view.root.dataset.gone, "false");
  assert.equal(named("Stop the job").disabled, false);
});

test("a kept job is said to go on when its kernel goes", () => {
  status({ kept: true });
  kernel.emit("comm_live_update");
  assert.equal(text(".ipyproc-words"), "goes on without the kernel");
  assert.equal(named("Stop the job").disabled, true);
});

test("an ended job keeps its end when the kernel goes", () => {
  status({ kind: "ok", words: "exit 0" });
  kernel.emit("comm_live_update");
  assert.equal(text(".ipyproc-words"), "exit 0");
});

test("usage is drawn, and read out as words", () => {
  kernel.say({ type: "usage", points: USAGE.slice(0, 2), all: true });
  kernel.say({ type: "usage", points: USAGE.slice(1, 5) });
  const usage = find(view.root, ".ipyproc-usage");
  assert.match(usage.getAttribute("aria-label") ?? "", /^CPU and memory now: \d+ % · 204.0 MB/);
  assert.equal(find(usage, ".ipyproc-cpu").getAttribute("d")?.match(/[ML]/g)?.length, 5);
});

test("each worker has its row, and its buttons name it", () => {
  const workers = [0, 1].map((n) => ({ n, state: "running", pid: 50 + n }));
  status({ workers });
  const row = find(view.root, "tbody tr:nth-child(2)");
  find<HTMLButtonElement>(row, '[aria-label="Restart worker 1"]').click();
  press(find(row, '[aria-label="Send a signal to worker 1"]'), "ArrowDown");
  (document.activeElement as HTMLElement).click();
  const acts = [
    { do: "restart", worker: 1 },
    { do: "signal", worker: 1, signal: "SIGINT" },
  ];
  assert.deepEqual(heard("act"), acts);
  status({ workers: workers.slice(1) });
  assert.equal(view.root.querySelectorAll("tbody tr").length, 1);
  assert.equal(find(view.root, "tbody tr"), row);
});

const bytes = (written: string) => new TextEncoder().encode(written);

/** Open the terminal; return the page's name. */
function opened(): string {
  status();
  named("Show the terminal").click();
  return kernel.heard[0]?.page ?? "";
}

function settle(): void {
  for (let turn = 0; turn < 20; turn++) mock.timers.tick(20);
}

test("the terminal is asked for, drawn, told of, and let go", () => {
  const page = opened();
  assert.deepEqual(heard("open"), [{ rows: 24, columns: 100, owns: true }]);
  kernel.say({ type: "screen", page, offset: 1000, rows: 30, columns: 90 }, bytes("hello\r\n"));
  kernel.say({ type: "output", page, offset: 1007 }, bytes("later"));
  settle();
  assert.deepEqual(heard("ask"), [{ offset: 1000 }]);
  kernel.say({ type: "output", page, offset: 1000 }, bytes("between"));
  settle();
  assert.deepEqual(heard("ack").at(-1), { offset: 1007 });
  named("Hide the terminal").click();
  assert.equal(heard("shut").length, 1);
  assert.equal(view.root.querySelector(".xterm"), null);
});

test("the last screen stays when the kernel goes, and is drawn anew when it is back", () => {
  const page = opened();
  const shown = () => find(view.root, ".xterm-rows").textContent?.trim() ?? "";
  kernel.say({ type: "output", page, offset: 0 }, bytes("before"));
  settle();
  mock.timers.tick(100);
  kernel.emit("comm_live_update");
  assert.equal(view.root.dataset.gone, "true");
  assert.equal(named("Copy the output as text").disabled, false);
  status();
  assert.equal(heard("open").length, 2);
  settle();
  named("Copy the output as text").click();
  kernel.say({ type: "output", page, offset: 0 }, bytes("after"));
  settle();
  assert.deepEqual(heard("ack").at(-1), { offset: 5 });
  assert.doesNotMatch(shown(), /before/);
});

test("a query is answered once: not in what is drawn anew, and by the page that owns the size", () => {
  const page = opened();
  const query = bytes("\x1b[6n");
  kernel.say({ type: "screen", page, offset: 10, rows: 24, columns: 100 }, query);
  kernel.say({ type: "output", page, offset: 10, replay: true }, query);
  settle();
  assert.deepEqual(heard("input"), []);
  kernel.say({ type: "output", page, offset: 14 }, query);
  settle();
  assert.deepEqual(heard("input"), [{ data: "\x1b[1;1R", line: false }]);
  kernel.say({ type: "screen", page, offset: 18, rows: 24, columns: 100, owner: "another" });
  kernel.say({ type: "output", page, offset: 18 }, query);
  settle();
  assert.equal(heard("input").length, 1);
});

test("a page that comes later opens the terminal when the kernel says so, and does not take the size", () => {
  status({}, { open: true });
  assert.deepEqual(heard("open"), [{ rows: 24, columns: 100, owns: false }]);
  status({}, { open: true });
  assert.equal(heard("open").length, 1);
});

test("what the kernel sends as a file is saved, and as text copied", () => {
  status();
  named("Save the output to a file").click();
  named("Copy the output as text").click();
  assert.deepEqual(heard("save"), [{}, { text: true }]);
});

test("a closed view says so, and hears nothing more", () => {
  view.close();
  assert.equal(heard("bye").length, 1);
  const before = kernel.heard.length;
  status();
  kernel.emit("comm_live_update");
  assert.equal(kernel.heard.length, before);
});
