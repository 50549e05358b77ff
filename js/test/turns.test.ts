import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import "./page.ts";
import { Queue } from "../src/turns.ts";

let now = 0;

beforeEach(() => {
  mock.method(performance, "now", () => now);
});
afterEach(() => mock.restoreAll());

test("steps of one queue keep their order, and those of several take turns", () => {
  const drawn: string[] = [];
  const [a, b] = [new Queue(() => false), new Queue(() => false)];
  const ends: (() => void)[] = [];
  const step = (name: string) => (done: () => void) => {
    drawn.push(name);
    ends.push(done);
  };
  a.push(step("a1"));
  a.push(step("a2"));
  b.push(step("b1"));
  assert.deepEqual(drawn, ["a1"]);
  ends.shift()?.();
  ends.shift()?.();
  assert.deepEqual(drawn, ["a1", "b1", "a2"]);
  a.close();
  b.close();
});

test("the one that a person looks at comes first", () => {
  const drawn: string[] = [];
  const [a, b, c] = [new Queue(() => false), new Queue(() => false), new Queue(() => true)];
  let end = () => {};
  a.push((done) => {
    end = done;
  });
  b.push((done) => {
    drawn.push("b");
    done();
  });
  c.push((done) => {
    drawn.push("c");
    done();
  });
  end();
  assert.deepEqual(drawn, ["c", "b"]);
});

test("a closed queue holds up no other, though what it draws never ends", () => {
  const [a, b] = [new Queue(() => false), new Queue(() => false)];
  let drawn = false;
  a.push(() => {});
  a.push(() => assert.fail("a closed queue draws nothing"));
  b.push((done) => {
    drawn = true;
    done();
  });
  assert.equal(drawn, false);
  a.close();
  assert.equal(drawn, true);
});

test("after some milliseconds of drawing the page gets a frame", async () => {
  const queue = new Queue(() => false);
  const drawn: string[] = [];
  queue.push((done) => {
    drawn.push("first");
    now += 100;
    done();
  });
  const second = new Promise<void>((resolve) => {
    queue.push((done) => {
      drawn.push("second");
      done();
      resolve();
    });
  });
  assert.deepEqual(drawn, ["first"]);
  await second;
  assert.deepEqual(drawn, ["first", "second"]);
});

test("a step that fails holds up no other", () => {
  const queue = new Queue(() => false);
  const failed = mock.method(console, "error", () => {});
  let drawn = false;
  queue.push(() => {
    throw new Error("no such size");
  });
  queue.push((done) => {
    drawn = true;
    done();
  });
  assert.equal(failed.mock.callCount(), 1);
  assert.equal(drawn, true);
});
