import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ACK_BYTES, Flow, IDLE, PATIENCE } from "../src/flow.ts";

const PIECE = 16 * 1024;

/** A flow whose screen draws when the test says so. */
function flowing() {
  const drawn: string[] = [];
  const pending: (() => void)[] = [];
  const asked: number[] = [];
  const acked: number[] = [];
  const flow = new Flow({
    draw: (bytes, replay, done) => {
      drawn.push((replay ? "old:" : "") + new TextDecoder().decode(bytes));
      pending.push(done);
    },
    ask: (offset) => asked.push(offset),
    ack: (offset) => acked.push(offset),
  });
  const finish = () => {
    for (const done of pending.splice(0)) done();
  };
  return { flow, drawn, asked, acked, finish };
}

const bytes = (text: string) => new TextEncoder().encode(text);

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("bytes are drawn in order, and those that came twice once", () => {
  const { flow, drawn } = flowing();
  flow.output(0, bytes("abc"));
  flow.output(0, bytes("abc"));
  flow.output(2, bytes("cde"));
  assert.deepEqual(drawn, ["abc", "de"]);
  assert.equal(flow.offset, 5);
});

test("a gap is asked for once, and again only when it stays", () => {
  const { flow, drawn, asked } = flowing();
  flow.output(0, bytes("ab"));
  flow.output(4, bytes("ef"));
  flow.output(6, bytes("gh"));
  assert.deepEqual(asked, [2]);
  mock.timers.tick(PATIENCE);
  assert.deepEqual(asked, [2, 2]);
  flow.output(2, bytes("cdefgh"));
  mock.timers.tick(10 * PATIENCE);
  assert.deepEqual(asked, [2, 2]);
  assert.deepEqual(drawn, ["ab", "cdefgh"]);
});

test("what a status counts and nobody has sent is asked for", () => {
  const { flow, asked } = flowing();
  flow.output(0, bytes("ab"));
  flow.expect(2);
  mock.timers.tick(PATIENCE);
  assert.deepEqual(asked, []);
  flow.expect(5);
  mock.timers.tick(PATIENCE);
  assert.deepEqual(asked, [2]);
});

test("a screen stands for all before it, and is old", () => {
  const { flow, drawn, asked } = flowing();
  flow.output(3, bytes("late"));
  flow.screen(100, bytes("screen"));
  flow.output(90, bytes("0123456789"));
  flow.output(100, bytes("new"));
  mock.timers.tick(10 * PATIENCE);
  assert.deepEqual(drawn, ["old:screen", "new"]);
  assert.deepEqual(asked, [0]);
});

test("what is drawn is told once in 64 kB, and when nothing follows", () => {
  const { flow, acked, finish } = flowing();
  for (let at = 0; at < 2 * ACK_BYTES; at += PIECE) flow.output(at, new Uint8Array(PIECE));
  assert.deepEqual(acked, []);
  finish();
  assert.deepEqual(acked, [ACK_BYTES, 2 * ACK_BYTES]);
  flow.output(2 * ACK_BYTES, bytes("end"));
  mock.timers.tick(IDLE);
  assert.equal(acked.length, 2);
  finish();
  mock.timers.tick(IDLE);
  assert.deepEqual(acked, [ACK_BYTES, 2 * ACK_BYTES, 2 * ACK_BYTES + 3]);
});

test("what was on its way before a screen is not told after it", () => {
  const { flow, acked, finish } = flowing();
  flow.output(0, new Uint8Array(ACK_BYTES));
  flow.screen(500_000, bytes("screen"));
  finish();
  mock.timers.tick(IDLE);
  assert.deepEqual(acked, [500_000]);
});
