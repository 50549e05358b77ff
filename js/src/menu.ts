/** A button that opens a list of words to choose from. */
import { button, element } from "./dom.ts";

const ICON = "M4 6l4 4 4-4z";

export class Menu {
  readonly root: HTMLElement;
  private readonly opener: HTMLButtonElement;
  private readonly list: HTMLElement;
  private readonly items: HTMLButtonElement[];

  constructor(word: string, title: string, choices: string[], chosen: (choice: string) => void) {
    this.opener = button(word, ICON, () => this.toggle(), title);
    this.opener.setAttribute("aria-haspopup", "menu");
    this.list = element("div", { class: "ipyproc-menu", role: "menu", label: title });
    // In the top layer, so that no output area cuts it off; when it closes is decided here.
    if ("showPopover" in this.list) this.list.popover = "manual";
    this.list.hidden = true;
    this.items = choices.map((choice) => {
      const item = element("button", { text: choice, role: "menuitem" });
      item.type = "button";
      item.tabIndex = -1;
      item.addEventListener("click", () => {
        this.shut();
        chosen(choice);
      });
      return item;
    });
    this.list.append(...this.items);
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.opener.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" || !this.list.hidden) return;
      event.preventDefault();
      this.toggle();
    });
    this.root = element("span", { class: "ipyproc-menu-root" }, this.opener, this.list);
    this.root.addEventListener("focusout", (event) => {
      if (!this.root.contains(event.relatedTarget as Node | null)) this.shut(false);
    });
    this.shut(false);
  }

  set enabled(enabled: boolean) {
    this.opener.disabled = !enabled;
    if (!enabled) this.shut(false);
  }

  private toggle(): void {
    if (!this.list.hidden) {
      this.shut();
      return;
    }
    this.list.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    this.list.showPopover?.();
    const from = this.opener.getBoundingClientRect();
    const { offsetHeight: height, offsetWidth: width } = this.list;
    const below = from.bottom + 2;
    const top = below + height <= window.innerHeight ? below : Math.max(2, from.top - height - 2);
    this.list.style.top = `${top}px`;
    this.list.style.left = `${Math.max(2, Math.min(from.left, window.innerWidth - width - 4))}px`;
    this.items[0]?.focus();
  }

  private shut(back = true): void {
    if (this.list.matches(":popover-open")) this.list.hidePopover();
    this.list.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
    if (back) this.opener.focus();
  }

  private key(event: KeyboardEvent): void {
    const { items } = this;
    const at = items.indexOf(event.target as HTMLButtonElement);
    const steps: Record<string, number> = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    };
    if (event.key === "Escape") this.shut();
    else if (event.key in steps) items[steps[event.key] ?? 0]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
