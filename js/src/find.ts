/** The box that searches the terminal's text. */
import { SearchAddon } from "@xterm/addon-search";
import type { Terminal } from "@xterm/xterm";
import { button, element, say } from "./dom.ts";

const COLOURS = {
  matchBackground: "#8a6d1a",
  activeMatchBackground: "#c7791a",
  matchOverviewRuler: "#8a6d1a",
  activeMatchColorOverviewRuler: "#c7791a",
};

export class FindBox {
  readonly root: HTMLElement;
  private readonly field: HTMLInputElement;
  private readonly count = element("span", { class: "ipyproc-count", role: "status" });
  private readonly search = new SearchAddon();

  /** @param closed called once the box has closed. */
  constructor(
    terminal: Terminal,
    private readonly closed: () => void,
  ) {
    terminal.loadAddon(this.search);
    this.field = element("input", { class: "ipyproc-field", label: "Find in the terminal" });
    this.field.type = "text";
    this.field.spellcheck = false;
    this.field.addEventListener("input", () => this.find(false, true));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.find(event.shiftKey);
      else if (event.key === "Escape") this.close();
      else return;
      event.preventDefault();
    });
    this.root = element(
      "div",
      { class: "ipyproc-find", role: "search" },
      this.field,
      this.count,
      button("", "M8 4 3 10h10z", () => this.find(true), "Find the one before"),
      button("", "M8 12 3 6h10z", () => this.find(false), "Find the next"),
      button("", "M4 3 3 4l4 4-4 4 1 1 4-4 4 4 1-1-4-4 4-4-1-1-4 4z", () => this.close(), "Close the search"),
    );
    this.root.hidden = true;
    this.search.onDidChangeResults(({ resultIndex, resultCount }) => {
      const none = this.field.value ? "nothing found" : "";
      say(this.count, resultCount ? `${resultIndex + 1} of ${resultCount}` : none);
    });
  }

  open(): void {
    this.root.hidden = false;
    this.field.focus();
    this.field.select();
  }

  private find(back: boolean, incremental = false): void {
    const options = { decorations: COLOURS, incremental };
    if (back) this.search.findPrevious(this.field.value, options);
    else this.search.findNext(this.field.value, options);
  }

  private close(): void {
    this.root.hidden = true;
    this.search.clearDecorations();
    this.closed();
  }
}
