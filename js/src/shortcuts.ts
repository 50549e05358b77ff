/** Whose keys are whose, in a notebook that has shortcuts. */

/**
 * Keep plain keys for an element: else JupyterLab takes Enter on a button for its own, and the classic notebook
 * the letters that bubble up to it. Keys with Ctrl, Alt or Meta stay the notebook's: Ctrl+S saves.
 *
 * @returns what ends that.
 */
export function keepPlainKeys(root: HTMLElement): () => void {
  // JupyterLab listens at the document, before all that lies in it; only the window is earlier.
  const before = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.altKey || event.metaKey) delete root.dataset.lmSuppressShortcuts;
    else root.dataset.lmSuppressShortcuts = "true";
  };
  const after = (event: KeyboardEvent) => {
    if (root.dataset.lmSuppressShortcuts) event.stopPropagation();
  };
  window.addEventListener("keydown", before, true);
  root.addEventListener("keydown", after);
  return () => {
    window.removeEventListener("keydown", before, true);
    root.removeEventListener("keydown", after);
  };
}
