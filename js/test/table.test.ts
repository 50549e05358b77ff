import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { FakeKernel, RUNNING } from "../dev/kernel.ts";
import { send } from "../src/model.ts";
import { TableView } from "../src/table.ts";
import { find } from "./page.ts";

const ENDED = { ...RUNNING, name: "done", kind: "ok", words: "exit 0", pid: null, can: ["restart" as const] };

let kernel: FakeKernel;
let view: TableView;

const texts = (selector: string) =>
  Array.from(view.root.querySelectorAll(selector), (cell) => cell.textContent);

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  kernel = new FakeKernel({ kind: "table" });
  view = new TableView(kernel, send);
  document.body.append(view.root);
});

afterEach(() => {
  view.close();
  mock.timers.reset();
});

test("each job has its row, and its buttons name it", () => {
  kernel.say({ type: "table", rows: [RUNNING, ENDED] });
  assert.deepEqual(texts("tbody .ipyproc-name-cell"), ["train", "done"]);
  assert.deepEqual(texts("tbody .ipyproc-state"), ["● running", "✓ exit 0"]);
  find<HTMLButtonElement>(view.root, '[aria-label="Stop train"]').click();
  assert.equal(find<HTMLButtonElement>(view.root, '[aria-label="Stop done"]').disabled, true);
  find<HTMLButtonElement>(view.root, '[aria-label="Restart done"]').click();
  const acts = kernel.heard.filter(({ type }) => type === "act").map(({ page: _, ...rest }) => rest);
  assert.deepEqual(acts, [
    { type: "act", do: "stop", name: "train" },
    { type: "act", do: "restart", name: "done" },
  ]);
});

test("rows stay as they are when the order changes, and go when their job does", () => {
  kernel.say({ type: "table", rows: [RUNNING, ENDED] });
  const row = find(view.root, "tbody tr");
  kernel.say({ type: "table", rows: [ENDED, RUNNING] });
  assert.deepEqual(texts("tbody .ipyproc-name-cell"), ["done", "train"]);
  assert.equal(view.root.querySelectorAll("tbody tr")[1], row);
  kernel.say({ type: "table", rows: [], caption: "" });
  assert.equal(find(view.root, ".ipyproc-rows").hidden, true);
  assert.equal(view.root.querySelectorAll("tbody tr").length, 0);
});

test("a job that has ended is forgotten by its button, and a table that is over does nothing", () => {
  const rows = [RUNNING, { ...ENDED, can: ["forget" as const] }];
  kernel.say({ type: "table", rows, caption: "… and 3 others" });
  assert.equal(find<HTMLButtonElement>(view.root, '[aria-label="Forget train"]').disabled, true);
  find<HTMLButtonElement>(view.root, '[aria-label="Forget done"]').click();
  const { page: _, ...act } = kernel.heard.at(-1) ?? {};
  assert.deepEqual(act, { type: "act", do: "forget", name: "done" });
  assert.match(view.root.textContent ?? "", /and 3 others/);
  kernel.say({ type: "table", rows, over: true });
  assert.equal(view.root.querySelectorAll('tbody button:enabled:not([role="menuitem"])').length, 0);
  mock.timers.tick(5000);
  assert.equal(find(view.root, "tbody td:nth-child(5)").textContent, "1 min 23 s");
  // Without rows there are no heads, which would be found as text.
  kernel.say({ type: "table", rows: [], caption: "none" });
  assert.equal(view.root.textContent, "none");
});

test("when the kernel has gone the table can be read, and does nothing", () => {
  kernel.say({ type: "table", rows: [RUNNING] });
  kernel.emit("comm_live_update");
  assert.equal(view.root.dataset.gone, "true");
  assert.equal(find<HTMLButtonElement>(view.root, '[aria-label="Stop train"]').disabled, true);
  kernel.say({ type: "table", rows: [RUNNING] });
  assert.equal(find<HTMLButtonElement>(view.root, '[aria-label="Stop train"]').disabled, false);
});
