/** A page for what is tested: import this first. */
import { JSDOM } from "jsdom";

const dom = new JSDOM("<!doctype html><body></body>", {
  url: "http://localhost/lab",
  pretendToBeVisual: true,
});
const { window } = dom;

class NoObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

const globals: Record<string, unknown> = {
  window,
  document: window.document,
  self: window,
  HTMLElement: window.HTMLElement,
  Node: window.Node,
  MutationObserver: window.MutationObserver,
  getComputedStyle: window.getComputedStyle,
  requestAnimationFrame: window.requestAnimationFrame,
  cancelAnimationFrame: window.cancelAnimationFrame,
  KeyboardEvent: window.KeyboardEvent,
  ResizeObserver: NoObserver,
};
Object.assign(window, {
  ResizeObserver: NoObserver,
  matchMedia: () => ({
    matches: false,
    addEventListener() {},
    removeEventListener() {},
    addListener() {},
    removeListener() {},
  }),
});
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

export function press(target: Element, key: string, parts: KeyboardEventInit = {}): void {
  target.dispatchEvent(
    new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...parts }),
  );
}

export function find<T extends HTMLElement>(root: ParentNode, selector: string): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`There is no ${selector}.`);
  return found;
}
