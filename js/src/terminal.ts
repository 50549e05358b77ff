/** The terminal of a job in the page: xterm.js, its size, its keys, and the order of what is written to it. */
import { FitAddon } from "@xterm/addon-fit";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";
import { guardAnswers } from "./answers.ts";
import { copyText } from "./clipboard.ts";
import { element, openLink } from "./dom.ts";
import { FindBox } from "./find.ts";
import { themeFor, watchTheme } from "./theme.ts";
import { Queue } from "./turns.ts";

export interface TerminalParts {
  /** Keys, mouse reports and answers, as the program is to read them. */
  typed(text: string): void;
  resized(rows: number, columns: number): void;
  /** The keyboard user leaves the terminal. */
  left(): void;
}

const ROWS = 24;
/** Above and below, as the stylesheet has it; in pixels. */
const PADDING = 8;
/** Drawn at once, in bytes: some milliseconds. */
const PIECE = 16 * 1024;
const SCROLLBACK = 10_000;
const HINT = "Ctrl+Shift+L leaves the terminal · F finds · C copies · V pastes";
const FOCUS_REPORTS = ["\x1b[I", "\x1b[O"];

function isText(bytes: string): boolean {
  return Array.from(bytes).every((byte) => byte < "\x80");
}

export class TerminalPanel {
  readonly root: HTMLElement;
  /** Whether the size of this page is the program's: of several pages only one has it. */
  owns: boolean;
  private readonly host = element("div", { class: "ipyproc-terminal" });
  private readonly terminal: Terminal;
  private readonly fitting = new FitAddon();
  private readonly find: FindBox;
  private readonly endings: (() => void)[] = [];
  /** While the past is drawn anew, nothing is answered. */
  private replaying = false;
  private readonly queue = new Queue(() => this.host.contains(document.activeElement));
  private opened = false;

  /**
   * @param tty whether the job has a terminal; one with pipes is shown, and takes no keys.
   * @param owns whether a person asked for it here, so that the program takes this page's size.
   */
  constructor(
    private readonly parts: TerminalParts,
    tty: boolean,
    owns: boolean,
  ) {
    this.owns = owns && tty;
    this.terminal = new Terminal({
      rows: ROWS,
      cols: 100,
      scrollback: SCROLLBACK,
      allowProposedApi: true,
      convertEol: !tty,
      disableStdin: !tty,
      cursorBlink: false,
      cursorInactiveStyle: tty ? "outline" : "none",
      minimumContrastRatio: 4.5,
      macOptionIsMeta: true,
      linkHandler: {
        activate: (_event, text) => openLink(text),
        hover: (_event, text) => this.host.setAttribute("title", text),
        leave: () => this.host.removeAttribute("title"),
        allowNonHttpProtocols: false,
      },
    });
    this.terminal.loadAddon(this.fitting);
    this.terminal.loadAddon(new WebLinksAddon((_event, text) => openLink(text)));
    this.terminal.loadAddon(new Unicode11Addon());
    this.terminal.unicode.activeVersion = "11";
    this.find = new FindBox(this.terminal, () => this.terminal.focus());
    guardAnswers(this.terminal, () => this.owns && !this.replaying);
    this.terminal.onData((text) => this.type(text));
    // The oldest form of mouse reports: bytes, of which only those of the first 95 columns are text.
    this.terminal.onBinary((text) => isText(text) && this.type(text));
    this.terminal.attachCustomKeyEventHandler((event) => this.takes(event));

    // JupyterLab's shortcuts look for this attribute; they see each key before anything here does.
    this.host.dataset.lmSuppressShortcuts = "true";
    // The classic notebook's look at what bubbles up.
    this.host.addEventListener("keydown", (event) => event.stopPropagation());
    const hint = element("div", {
      class: "ipyproc-hint",
      text: tty ? HINT : "Ctrl+Shift+L leaves · F finds · C copies",
    });
    this.root = element("div", { class: "ipyproc-panel", role: "group", label: "Terminal" });
    this.root.append(this.find.root, this.host, hint);
  }

  get size(): { rows: number; columns: number } {
    return { rows: this.terminal.rows, columns: this.terminal.cols };
  }

  /** Put the terminal into the page. Its root has to be in the document by then. */
  open(): void {
    if (this.opened) return;
    this.opened = true;
    this.terminal.options.fontFamily = getComputedStyle(this.host).fontFamily;
    this.terminal.options.fontSize = Number.parseFloat(getComputedStyle(this.host).fontSize) || 13;
    this.terminal.options.theme = themeFor(this.host);
    this.terminal.open(this.host);
    this.terminal.textarea?.setAttribute("aria-description", HINT);
    const screen = this.host.querySelector<HTMLElement>(".xterm-screen");
    if (screen?.offsetHeight) this.host.style.height = `${screen.offsetHeight + PADDING}px`;
    if (this.owns) this.fit();
    const sizes = new ResizeObserver(() => this.owns && this.fit());
    sizes.observe(this.host);
    this.endings.push(
      () => sizes.disconnect(),
      watchTheme(() => {
        this.terminal.options.theme = themeFor(this.host);
      }),
    );
  }

  /** Draw output; what is asked in a replay is not answered. */
  draw(bytes: Uint8Array, replay: boolean, drawn: () => void): void {
    for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      this.queue.push((done) => {
        this.replaying = replay;
        this.terminal.write(piece, done);
      });
    }
    this.after(drawn);
  }

  /** Begin a new screen of that size, once all that was written before is drawn. */
  begin(rows: number, columns: number): void {
    this.after(() => this.terminal.resize(columns, rows));
    this.queue.push((done) => this.terminal.write("\x1bc", done));
  }

  /** Go back to this page's size, once all that was written before is drawn. */
  settle(): void {
    this.after(() => this.owns && this.fit());
  }

  focus(): void {
    this.terminal.focus();
  }

  /** The selected text, or else all of it. */
  get text(): string {
    if (this.terminal.hasSelection()) return this.terminal.getSelection();
    const buffer = this.terminal.buffer.active;
    let text = "";
    for (let row = 0; row < buffer.length; row++) {
      const line = buffer.getLine(row);
      if (row && !line?.isWrapped) text += "\n";
      text += line?.translateToString(!buffer.getLine(row + 1)?.isWrapped) ?? "";
    }
    return `${text.trimEnd()}\n`;
  }

  close(): void {
    this.queue.close();
    for (const end of this.endings) end();
    this.terminal.dispose();
    this.root.remove();
  }

  private after(act: () => void): void {
    this.queue.push((done) => {
      act();
      done();
    });
  }

  private fit(): void {
    const wanted = this.host.offsetWidth ? this.fitting.proposeDimensions() : undefined;
    if (!wanted?.cols || !wanted.rows) return;
    const { rows, cols } = this.terminal;
    if (wanted.rows === rows && wanted.cols === cols) return;
    this.terminal.resize(wanted.cols, wanted.rows);
    this.parts.resized(wanted.rows, wanted.cols);
  }

  private type(text: string): void {
    if (!this.owns) {
      // Where the focus goes in a page that only looks on is nothing to the program.
      if (FOCUS_REPORTS.includes(text)) return;
      this.owns = true;
      this.fit();
    }
    this.parts.typed(text);
  }

  /** Take the keys that are the page's; all others, Tab and Escape among them, are the program's. */
  private takes(event: KeyboardEvent): boolean {
    if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
    switch (event.code) {
      case "KeyC":
        if (event.type === "keydown" && this.terminal.hasSelection())
          void copyText(this.terminal.getSelection());
        break;
      case "KeyF":
        if (event.type === "keydown") this.find.open();
        break;
      case "KeyL":
        if (event.type === "keydown") this.parts.left();
        break;
      case "KeyV":
        // The browser pastes, which needs no permission; the terminal hears of it by the event.
        return false;
      default:
        return true;
    }
    event.preventDefault();
    return false;
  }
}
