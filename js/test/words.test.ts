import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.ts";
import { safeUrl } from "../src/dom.ts";
import { isDark } from "../src/theme.ts";
import { humanBytes, humanSeconds } from "../src/words.ts";

test("durations and sizes read as the plain forms have them", () => {
  const seconds = [0.004, 0.4, 12, 185, 7800, 200_000];
  const words = ["4 ms", "0.4 s", "12 s", "3 min 05 s", "2 h 10 min", "2 d 7 h"];
  assert.deepEqual(seconds.map(humanSeconds), words);
  assert.deepEqual([512, 21_900_000, 3e9].map(humanBytes), ["512 B", "21.9 MB", "3.0 GB"]);
});

test("links lead to http and https only", () => {
  assert.equal(safeUrl("http://127.0.0.1:8000"), "http://127.0.0.1:8000/");
  assert.equal(safeUrl("/proxy/8000/"), "http://localhost/proxy/8000/");
  const bad = [
    "javascript:alert(1)",
    " java\nscript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "",
    null,
  ];
  for (const text of bad) assert.equal(safeUrl(text), null);
});

test("a ground is dark or light by what the page computes", () => {
  assert.equal(isDark("rgb(17, 17, 17)"), true);
  assert.equal(isDark("rgb(255, 255, 255)"), false);
  assert.equal(isDark("rgba(0, 0, 0, 0)"), false);
});
