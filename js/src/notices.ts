/** Notices of the browser, for a person who looks at something else. */
import { button } from "./dom.ts";
import { BELL } from "./icons.ts";
import type { Notice } from "./messages.ts";

function permission(): NotificationPermission {
  return typeof Notification === "undefined" ? "denied" : Notification.permission;
}

export class Notices {
  /** Asks for the permission: browsers let a page do that only when a person presses something. */
  readonly root: HTMLButtonElement;

  constructor() {
    const ask = async () => {
      await Notification.requestPermission();
      this.wanted = false;
    };
    this.root = button("Notify me", BELL, () => void ask(), "Let this page show a notice when the job ends");
    this.root.hidden = true;
  }

  set wanted(wanted: boolean) {
    this.root.hidden = !wanted || permission() !== "default";
  }

  /**
   * @param key names the job, so that several pages show one notice.
   * @returns whether the browser shows it; else the view says it.
   */
  show(notice: Notice, key: string): boolean {
    if (permission() !== "granted") return false;
    try {
      const shown = new Notification(notice.title, { body: notice.text, tag: `ipyproc-${key}` });
      shown.onclick = () => window.focus();
      return true;
    } catch {
      // Chrome on Android has the constructor, and refuses it.
      return false;
    }
  }
}
