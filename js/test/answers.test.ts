import assert from "node:assert/strict";
import { test } from "node:test";
import headless from "@xterm/headless";
import { guardAnswers } from "../src/answers.ts";

const QUERIES = [
  "\x1b[c",
  "\x1b[>c",
  "\x1b[5n",
  "\x1b[6n",
  "\x1b[?6n",
  "\x1b[20$p",
  "\x1b[?25$p",
  '\x1bP$q"p\x1b\\',
  "\x1bP$qr\x1b\\",
  "\x1b[18t",
];

async function answersTo(text: string, may: boolean): Promise<string[]> {
  const terminal = new headless.Terminal({
    allowProposedApi: true,
    windowOptions: { getWinSizeChars: true },
  });
  const answers: string[] = [];
  terminal.onData((answer) => answers.push(answer));
  guardAnswers(terminal as never, () => may);
  await new Promise<void>((done) => terminal.write(text, done));
  terminal.dispose();
  return answers;
}

test("each query that the terminal answers is answered, where it may", async () => {
  for (const query of QUERIES) assert.equal((await answersTo(query, true)).length, 1, JSON.stringify(query));
});

test("none is answered where it may not", async () => {
  assert.deepEqual(await answersTo(QUERIES.join(""), false), []);
});

test("what only sets colours passes", async () => {
  const terminal = new headless.Terminal({ allowProposedApi: true });
  guardAnswers(terminal as never, () => false);
  const text = "\x1b[31mred\x1b]11;#123456\x07\x1b[0m plain";
  await new Promise<void>((done) => terminal.write(text, done));
  assert.equal(terminal.buffer.active.getLine(0)?.translateToString(true), "red plain");
});
