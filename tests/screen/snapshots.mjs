// Prove the snapshots of the recordings: @xterm/headless shows the same of a snapshot and the rest as of the whole.
// README.md says how to run this. It writes recordings/snapshots.json: the hashes of the snapshots that hold.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const { Terminal } = require("@xterm/headless");
const { Unicode11Addon } = require("@xterm/addon-unicode11");

function opened(rows, columns) {
  const terminal = new Terminal({ rows, cols: columns, scrollback: 100000, allowProposedApi: true });
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  return terminal;
}

const written = (terminal, data) => new Promise((done) => terminal.write(data, done));

async function fed(terminal, recording, start, stop) {
  const resizes = recording.resizes.filter(([offset]) => offset >= start && offset < stop);
  for (const [offset, rows, columns] of resizes) {
    await written(terminal, recording.bytes.subarray(start, offset));
    terminal.resize(columns, rows);
    start = offset;
  }
  await written(terminal, recording.bytes.subarray(start, stop));
}

// What can be seen of a cell, and its link by its address.
function cellOf(terminal, cell) {
  const colours = [cell.getFgColorMode(), cell.getFgColor(), cell.getBgColorMode(), cell.getBgColor()];
  const flags = ["Bold", "Italic", "Dim", "Underline", "Blink", "Inverse", "Invisible", "Strikethrough", "Overline"];
  const link = cell.extended && cell.hasExtendedAttrs?.() ? cell.extended.urlId : 0;
  const url = link ? terminal._core._oscLinkService.getLinkData(link)?.uri : "";
  const text = cell.getWidth() && (cell.getChars() || " ");
  return [text, ...colours, ...flags.map((flag) => cell["is" + flag]() && 1), url].join(" ");
}

function bufferOf(terminal, buffer) {
  const rows = [];
  const blank = cellOf(terminal, terminal._core.buffer.getNullCell());
  for (let y = 0; y < buffer.length; y++) {
    const line = buffer.getLine(y);
    const cells = [];
    for (let x = 0; x < terminal.cols; x++) cells.push(cellOf(terminal, line.getCell(x)));
    while (cells.length && cells.at(-1) === blank) cells.pop();
    rows.push((line.isWrapped ? "+" : "|") + cells.join("|"));
  }
  return rows;
}

function shown(terminal) {
  const { active, normal, alternate } = terminal.buffer;
  const core = terminal._core;
  return {
    type: active.type,
    size: [terminal.rows, terminal.cols],
    cursor: [active.cursorX, active.cursorY, active.baseY],
    modes: terminal.modes,
    mouse: [core.coreMouseService.activeProtocol, core.coreMouseService.activeEncoding],
    hidden: core.coreService.isCursorHidden,
    style: core.coreService.decPrivateModes.cursorStyle,
    saved: [core.buffer.savedX, core._bufferService.buffers.normal.savedX],
    margins: [core.buffer.scrollTop, core.buffer.scrollBottom],
    tabs: Object.keys(core.buffer.tabs).filter((column) => core.buffer.tabs[column] && column < terminal.cols),
    normal: bufferOf(terminal, normal),
    alternate: active.type === "alternate" ? bufferOf(terminal, alternate) : [],
  };
}

// After the end of the output, what further output would meet. A saved cursor is not restored, since xterm.js moves it
// with the rows that scroll until its scrollback is full.
const PROBE = "x\tt\r\n\r\nlq\x1b[?47l+" + "\r\n".repeat(30) + "end";

// Where two rows begin to differ.
function cut(a = "", b = "") {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return [a, b].map((row) => row.slice(Math.max(0, at - 40), at + 60));
}

function difference(a, b) {
  for (const key of Object.keys(a)) {
    if (JSON.stringify(a[key]) === JSON.stringify(b[key])) continue;
    if (!Array.isArray(a[key]) || !["normal", "alternate"].includes(key)) return [key, a[key], b[key]];
    const at = a[key].findIndex((row, y) => row !== b[key][y]);
    return [key, at, a[key].length, b[key].length, ...cut(a[key][at], b[key][at])];
  }
  return null;
}

const proved = {};
let wrong = 0;
for (const recording of JSON.parse(readFileSync(0, "utf8"))) {
  recording.bytes = Buffer.from(recording.data, "base64");
  for (const snapshot of recording.taken) {
    const whole = opened(24, 100);
    const rebuilt = opened(snapshot.rows, snapshot.columns);
    await fed(whole, recording, 0, snapshot.offset);
    // A resize at the offset itself came before the snapshot.
    for (const [offset, rows, columns] of recording.resizes)
      if (offset === snapshot.offset) whole.resize(columns, rows);
    await written(rebuilt, snapshot.text);
    let found = difference(shown(whole), shown(rebuilt));
    let when = "at once";
    if (!found) {
      when = "after the rest";
      const rest = { ...recording, resizes: recording.resizes.filter(([offset]) => offset > snapshot.offset) };
      for (const terminal of [whole, rebuilt])
        await fed(terminal, rest, snapshot.offset, recording.bytes.length);
      found = difference(shown(whole), shown(rebuilt));
    }
    if (!found) {
      when = "after the probe";
      for (const terminal of [whole, rebuilt]) await written(terminal, PROBE);
      found = difference(shown(whole), shown(rebuilt));
    }
    if (found) {
      wrong++;
      if (wrong < 30) console.log(recording.name, snapshot.offset, when, ...found);
    } else (proved[recording.name] ??= {})[snapshot.offset] = snapshot.hash;
    whole.dispose();
    rebuilt.dispose();
  }
}
const here = new URL("recordings/", import.meta.url).pathname;
writeFileSync(here + "snapshots.json", JSON.stringify(proved, null, 1) + "\n");
console.log(wrong, "wrong");
process.exitCode = wrong ? 1 : 0;
