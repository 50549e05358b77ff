/** The terminal's colours: the page's own ground and text, and a palette that is legible on it. */
import type { ITheme } from "@xterm/xterm";

const DARK: ITheme = {
  black: "#2b2f36",
  red: "#f0716c",
  green: "#6cc26c",
  yellow: "#d8b24a",
  blue: "#6aa8f0",
  magenta: "#cc8fe0",
  cyan: "#4fc0c8",
  white: "#d0d4da",
  brightBlack: "#7d858f",
  brightRed: "#ff928c",
  brightGreen: "#8fdb8c",
  brightYellow: "#f0cf72",
  brightBlue: "#90c2ff",
  brightMagenta: "#e2b0f2",
  brightCyan: "#7cdbe2",
  brightWhite: "#ffffff",
  selectionBackground: "#4a6a94aa",
  cursor: "#d0d4da",
};

const LIGHT: ITheme = {
  black: "#24292f",
  red: "#b3261e",
  green: "#1a7a37",
  yellow: "#8a6100",
  blue: "#0a58ca",
  magenta: "#8530a8",
  cyan: "#0b7285",
  white: "#6a737d",
  brightBlack: "#57606a",
  brightRed: "#d1382f",
  brightGreen: "#23933f",
  brightYellow: "#a37500",
  brightBlue: "#2f7fd6",
  brightMagenta: "#a348c8",
  brightCyan: "#128a9f",
  brightWhite: "#8c959f",
  selectionBackground: "#9cc4f5aa",
  cursor: "#24292f",
};

/** The parts of a colour as the page computes it, `rgb(…)` or `rgba(…)`; null where it is transparent. */
export function channels(colour: string): [number, number, number] | null {
  const found = colour.match(/[\d.]+/g)?.map(Number);
  if (!found || found.length < 3 || found[3] === 0) return null;
  return [found[0] ?? 0, found[1] ?? 0, found[2] ?? 0];
}

export function isDark(colour: string): boolean {
  const [red, green, blue] = channels(colour) ?? [255, 255, 255];
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

/** The theme for an element whose colours the stylesheet takes from the page. */
export function themeFor(host: HTMLElement): ITheme {
  const { backgroundColor, color } = getComputedStyle(host);
  const dark = isDark(backgroundColor);
  const background = channels(backgroundColor) ? backgroundColor : "#ffffff";
  return { ...(dark ? DARK : LIGHT), background, foreground: color, cursorAccent: background };
}

/** Call back when the page may have changed its colours; return what ends that. */
export function watchTheme(changed: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = () => {
    changed();
    // JupyterLab names the new theme before its stylesheet has come.
    clearTimeout(timer);
    timer = setTimeout(changed, 400);
  };
  const observer = new MutationObserver(soon);
  const attributes = ["class", "data-jp-theme-name", "data-jp-theme-light", "data-theme", "style"];
  observer.observe(document.body, { attributes: true, attributeFilter: attributes });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: attributes });
  const system = window.matchMedia?.("(prefers-color-scheme: dark)");
  system?.addEventListener("change", soon);
  return () => {
    clearTimeout(timer);
    observer.disconnect();
    system?.removeEventListener("change", soon);
  };
}
