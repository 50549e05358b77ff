import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { gzipSync } from "node:zlib";
import "./page.ts";
import { FakeKernel } from "../dev/kernel.ts";
import { send } from "../src/model.ts";
import shim from "../src/shim.ts";

const SHIM_BYTES = gzipSync("export const render = () => {};");

let version = 0;

/** A model whose library no other test has. */
function model(traits: object = {}): FakeKernel {
  version += 1;
  return new FakeKernel({ version: `test ${version}`, control: "", ...traits });
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("the library is asked for once a page, and again where nobody answers", () => {
  const kernel = model();
  const el = document.createElement("div");
  void shim.render({ model: kernel, el });
  void shim.render({ model: kernel, el });
  assert.deepEqual(kernel.heard, [{ type: "code" }]);
  mock.timers.tick(5_000);
  assert.equal(kernel.heard.length, 2);
});

test("a view takes the library that its page has", async () => {
  const kernel = model();
  const shown: unknown[] = [];
  const key = Symbol.for(`ipyproc.live test ${version}`);
  const library = { render: (parts: unknown) => shown.push(parts) };
  Object.assign(globalThis, { [key]: Promise.resolve(library) });
  const el = document.createElement("div");
  await shim.render({ model: kernel, el });
  assert.deepEqual(shown, [{ model: kernel, el, send }]);
  assert.deepEqual(kernel.heard, []);
});

test("where the page does not load it, one plain sentence says so, and the next view tries again", async () => {
  // Node imports no blobs, as a page does not whose policy forbids them.
  const kernel = model();
  const el = document.createElement("div");
  const shown = shim.render({ model: kernel, el });
  kernel.say({ type: "code", hash: "x" }, SHIM_BYTES);
  await shown;
  assert.match(
    el.textContent ?? "",
    /^The live view could not be shown in this page \(.*\); %logs shows the/,
  );
  void shim.render({ model: kernel, el });
  assert.equal(kernel.heard.length, 2);
});

test("messages go over the control channel where the kernel listens there", () => {
  const sent: { channel: string; content: unknown; header: { msg_type: string; session: string } }[] = [];
  const kernel = model({ control: "comm-1" });
  const connection = {
    clientId: "client",
    sendControlMessage: (message: (typeof sent)[0]) => sent.push(message),
  };
  Object.assign(kernel, { widget_manager: { kernel: connection } });
  send(kernel, { type: "hello" });
  assert.deepEqual(kernel.heard, []);
  assert.equal(sent[0]?.channel, "control");
  assert.equal(sent[0]?.header.msg_type, "comm_msg");
  assert.equal(sent[0]?.header.session, "client");
  const data = { method: "custom", content: { type: "hello" } };
  assert.deepEqual(sent[0]?.content, { comm_id: "comm-1", data });
});

test("without that channel, or a kernel that listens there, they go as any widget's", () => {
  const closed = {
    get kernel(): never {
      throw new Error("The notebook is closed.");
    },
  };
  for (const manager of [undefined, {}, { kernel: null }, { kernel: {} }, closed]) {
    const kernel = model({ control: "comm-1" });
    Object.assign(kernel, { widget_manager: manager });
    send(kernel, { type: "hello" });
    assert.deepEqual(kernel.heard, [{ type: "hello" }]);
  }
});
