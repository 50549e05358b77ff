/** Elements, made without markup: whatever comes from outside is set as text. */

export interface Parts {
  class?: string;
  text?: string;
  title?: string;
  label?: string;
  role?: string;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  parts: Parts = {},
  ...children: Node[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (parts.class) made.className = parts.class;
  if (parts.text !== undefined) made.textContent = parts.text;
  if (parts.title) made.title = parts.title;
  if (parts.label) made.setAttribute("aria-label", parts.label);
  if (parts.role) made.setAttribute("role", parts.role);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(tag: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** A button with an icon and a word; where there is little room, the stylesheet leaves the icon only. */
export function button(
  word: string,
  icon: string | null,
  press: () => void,
  title = word,
): HTMLButtonElement {
  const made = element("button", { class: "ipyproc-button", title, label: title });
  made.type = "button";
  if (icon) {
    const svg = drawing("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" });
    svg.append(drawing("path", { d: icon, fill: "currentColor" }));
    made.append(svg);
  }
  if (word) made.append(element("span", { text: word }));
  made.addEventListener("click", press);
  return made;
}

/** Set a text only where it differs: each change is one more thing that a screen reader may say. */
export function say(where: HTMLElement, text: string): void {
  if (where.textContent !== text) where.textContent = text;
}

/** The address as a link may have it: http and https only; null for all else. */
export function safeUrl(text: string | null | undefined): string | null {
  if (!text) return null;
  try {
    const url = new URL(text, document.baseURI);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

export function openLink(text: string): void {
  const url = safeUrl(text);
  if (url) window.open(url, "_blank", "noopener,noreferrer");
}
