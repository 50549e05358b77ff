/** A table of what has states and can be acted on: the workers of a group, the jobs of a kernel. */
import { button, element, say } from "./dom.ts";
import { FORGET, RESTART, STOP } from "./icons.ts";
import { Menu } from "./menu.ts";
import type { Action } from "./messages.ts";
import { SIGNALS } from "./status.ts";

/** How one kind of things is shown. */
export interface RowsForm<Item> {
  label: string;
  key(item: Item): string | number;
  /** What its buttons say that they act on. */
  called(item: Item): string;
  /** The state as a style; a column of the class `ipyproc-state` has its colour. */
  kind(item: Item): string;
  can(item: Item): readonly Action[];
  actions: readonly ("stop" | "restart" | "forget" | "signal")[];
  columns: readonly Column<Item>[];
}

export interface Column<Item> {
  head: string;
  /** @param since seconds that have passed since the item was told. */
  text(item: Item, since: number): string;
  class?: string;
  /** Whether the column is shown at all; it is where nothing is said. */
  shown?(items: readonly Item[]): boolean;
}

const BUTTONS = { stop: ["Stop", STOP], restart: ["Restart", RESTART], forget: ["Forget", FORGET] } as const;

type Act<Item> = (item: Item, action: Action, signal?: string) => void;

class Row<Item> {
  readonly root = element("tr");
  private readonly cells: HTMLTableCellElement[];
  private readonly buttons = new Map<Action, HTMLButtonElement | Menu>();
  private item: Item;

  constructor(
    private readonly form: RowsForm<Item>,
    item: Item,
    act: Act<Item>,
  ) {
    this.item = item;
    this.cells = form.columns.map((column) => element("td", { class: column.class ?? "" }));
    const tools = element("td", { class: "ipyproc-row-tools" });
    const name = form.called(item);
    for (const action of form.actions) {
      if (action === "signal") {
        const send = (signal: string) => act(this.item, "signal", signal);
        const menu = new Menu("Signal", `Send a signal to ${name}`, SIGNALS, send);
        this.buttons.set(action, menu);
        tools.append(menu.root);
      } else {
        const [word, icon] = BUTTONS[action];
        const made = button("", icon, () => act(this.item, action), `${word} ${name}`);
        this.buttons.set(action, made);
        tools.append(made);
      }
    }
    this.root.append(...this.cells, tools);
  }

  update(item: Item, since: number, shown: readonly boolean[], usable: boolean): void {
    this.item = item;
    this.form.columns.forEach((column, index) => {
      const cell = this.cells[index];
      if (!cell) return;
      const text = column.text(item, since);
      say(cell, text);
      if (column.class === "ipyproc-last") cell.title = text;
      cell.hidden = !shown[index];
    });
    this.root.dataset.kind = this.form.kind(item);
    for (const [action, made] of this.buttons) {
      const enabled = usable && this.form.can(item).includes(action);
      if (made instanceof Menu) made.enabled = enabled;
      else made.disabled = !enabled;
    }
  }
}

export class Rows<Item> {
  readonly root: HTMLElement;
  private readonly table: HTMLElement;
  private readonly body = element("tbody");
  private readonly heads: HTMLTableCellElement[];
  private readonly rows = new Map<string | number, Row<Item>>();
  private items: readonly Item[] = [];
  private usable = true;
  private told = 0;

  constructor(
    private readonly form: RowsForm<Item>,
    private readonly act: Act<Item>,
  ) {
    this.heads = form.columns.map(({ head, class: name }) =>
      element("th", { text: head, class: name ?? "" }),
    );
    for (const head of this.heads) head.scope = "col";
    const tools = element("td");
    this.table = element("table", { class: "ipyproc-table", label: form.label });
    this.table.append(element("thead", {}, element("tr", {}, ...this.heads, tools)), this.body);
    this.root = element("div", { class: "ipyproc-rows" });
    this.root.hidden = true;
  }

  /** Rows stay the elements that they are, so that the focus stays on its button. */
  update(items: readonly Item[], usable: boolean): void {
    if (items !== this.items) this.told = performance.now();
    this.items = items;
    this.usable = usable;
    this.root.hidden = items.length === 0;
    // Without items there are no heads either: what reads the view as text would find their words.
    if (!items.length) this.table.remove();
    else if (!this.table.parentNode) this.root.append(this.table);
    const before = new Set(this.rows.keys());
    for (const item of items) {
      const key = this.form.key(item);
      before.delete(key);
      if (!this.rows.has(key)) this.rows.set(key, new Row(this.form, item, this.act));
    }
    for (const key of before) {
      this.rows.get(key)?.root.remove();
      this.rows.delete(key);
    }
    this.draw();
    const order = items
      .map((item) => this.rows.get(this.form.key(item))?.root)
      .filter((row) => row !== undefined);
    order.forEach((row, index) => {
      const there = this.body.children[index];
      if (there !== row) this.body.insertBefore(row, there ?? null);
    });
  }

  /** Draw the times anew, as they have gone on. */
  draw(): void {
    const since = this.usable ? (performance.now() - this.told) / 1000 : 0;
    const shown = this.form.columns.map((column) => column.shown?.(this.items) ?? true);
    this.heads.forEach((head, index) => {
      head.hidden = !shown[index];
    });
    for (const item of this.items) {
      this.rows.get(this.form.key(item))?.update(item, since, shown, this.usable);
    }
  }
}
