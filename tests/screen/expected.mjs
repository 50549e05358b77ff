// Write beside each recording what @xterm/headless shows of it; README.md says how to run this.
import { readdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const { Terminal } = require("@xterm/headless");
const { Unicode11Addon } = require("@xterm/addon-unicode11");

const here = new URL("recordings/", import.meta.url).pathname;
const resizes = JSON.parse(readFileSync(here + "resizes.json", "utf8"));

function shown(terminal) {
  const buffer = terminal.buffer.active;
  const rows = [];
  for (let y = 0; y < buffer.length; y++) rows.push(buffer.getLine(y).translateToString(true).trimEnd());
  while (rows.length && !rows.at(-1)) rows.pop();
  return { alternate: buffer.type === "alternate", rows };
}

for (const file of readdirSync(here).filter((name) => name.endsWith(".ansi"))) {
  const name = file.slice(0, -5);
  const data = readFileSync(here + file);
  const terminal = new Terminal({ rows: 24, cols: 100, scrollback: 100000, allowProposedApi: true });
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  const steps = (resizes[name] ?? []).map(([offset, rows, columns]) => ({ offset, rows, columns }));
  for (const part of [1, 2, 3, 4]) steps.push({ offset: Math.floor((data.length * part) / 4) });
  steps.sort((a, b) => a.offset - b.offset);
  const at = [];
  let position = 0;
  for (const step of steps) {
    await new Promise((done) => terminal.write(data.subarray(position, step.offset), done));
    position = step.offset;
    if (step.rows) terminal.resize(step.columns, step.rows);
    else at.push({ offset: step.offset, ...shown(terminal) });
  }
  writeFileSync(here + name + ".json", JSON.stringify(at, null, 1) + "\n");
}
