/** The live view, as the shim of the widget calls it. */
import xterm from "@xterm/xterm/css/xterm.css";
import type { Model } from "./model.ts";
import style from "./style.css";
import { TableView } from "./table.ts";
import type { Send } from "./transport.ts";
import { JobView } from "./view.ts";

/** The stylesheet goes into the page's head, once: each view would bring another copy. */
function addStyle(): void {
  const id = "ipyproc-live-style";
  const text = `${xterm}\n${style}`;
  let sheet = document.getElementById(id);
  if (!sheet) {
    sheet = document.createElement("style");
    sheet.id = id;
    document.head.append(sheet);
  }
  // Another notebook of this page may have another version of this package: the last one that came holds.
  if (sheet.textContent !== text) sheet.textContent = text;
}

/**
 * Show what a model stands for in an element: a job, or where its trait `kind` says so the table of all.
 *
 * @returns what takes it away.
 */
export function render({ model, el, send }: { model: Model; el: HTMLElement; send: Send }): () => void {
  addStyle();
  const view = model.get("kind") === "table" ? new TableView(model, send) : new JobView(model, send);
  el.append(view.root);
  return () => view.close();
}
