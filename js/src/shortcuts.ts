/** Whose keys are whose, in a notebook that has shortcuts. */

/**
 * Keep plain keys for an element: else JupyterLab takes Enter on a button for its own, and the classic notebook
 * the letters that bubble up to it. Keys with Ctrl, Alt or Meta stay the notebook's: Ctrl+S saves.
 *
 * @returns what ends that.
 */
export function keepPlainKeys(root: HTMLElement): () => void {
  const isPlain = (event: KeyboardEvent) => !(event.ctrlKey || event.altKey || event.metaKey);
  // JupyterLab listens at the document, before all that lies in it; only the window is earlier. It looks for the
  // attribute at the focused element first, and where its shortcut is for that one no further.
  const before = (event: KeyboardEvent) => {
    const { target } = event;
    if (!(target instanceof HTMLElement) || !root.contains(target)) return;
    // The terminal has all keys.
    if (target.closest(".ipyproc-terminal")) return;
    if (isPlain(event)) target.dataset.lmSuppressShortcuts = "true";
    else delete target.dataset.lmSuppressShortcuts;
  };
  const after = (event: KeyboardEvent) => {
    if (isPlain(event)) event.stopPropagation();
  };
  window.addEventListener("keydown", before, true);
  root.addEventListener("keydown", after);
  return () => {
    window.removeEventListener("keydown", before, true);
    root.removeEventListener("keydown", after);
  };
}
