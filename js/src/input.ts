/** The box in which a person answers a job that waits for a line. */
import { button, element } from "./dom.ts";

export class InputBox {
  readonly root: HTMLFormElement;
  private readonly field = element("input", { class: "ipyproc-field" });
  private readonly end: HTMLButtonElement;

  /**
   * @param answered takes the line, without its end.
   * @param closed tells the job that nothing more will come.
   */
  constructor(answered: (line: string) => void, closed: () => void) {
    this.field.type = "text";
    this.field.autocomplete = "off";
    this.field.spellcheck = false;
    const send = button("Send", null, () => {}, "Send this line to the job");
    send.type = "submit";
    this.end = button("End of input", null, closed, "Close the job's input, as Ctrl+D does");
    this.root = element("form", { class: "ipyproc-input" }, this.field, send, this.end);
    this.root.hidden = true;
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      const { value } = this.field;
      this.field.value = "";
      answered(value);
    });
    this.hides = false;
  }

  /** Whether what is typed must not be seen. */
  set hides(hides: boolean) {
    const type = hides ? "password" : "text";
    // What was typed in the open is not to be taken for the secret, nor the secret be shown.
    if (this.field.type !== type) this.field.value = "";
    this.field.type = type;
    this.field.autocomplete = hides ? "new-password" : "off";
    const label = hides ? "Hidden input for the job" : "Input for the job";
    this.field.setAttribute("aria-label", label);
    this.field.placeholder = label;
  }

  /** Once it has been shown it stays until the job ends: a box that comes and goes moves what is below. */
  update(wanted: boolean, ended: boolean, closable: boolean): void {
    if (wanted) this.root.hidden = false;
    if (ended) {
      this.root.hidden = true;
      this.field.value = "";
    }
    this.end.disabled = !closable;
  }
}
