/** The queries that a terminal answers by itself, and how they are kept silent. */
import type { IParser, Terminal } from "@xterm/xterm";

/**
 * Ask before each query of a program is answered. While an old screen is drawn anew, the program that asked
 * has its answer already; a second one would arrive as if it had been typed.
 *
 * @param may whether the terminal may answer now.
 */
export function guardAnswers(terminal: Pick<Terminal, "parser">, may: () => boolean): void {
  const parser: IParser = terminal.parser;
  // A handler that returns true ends the sequence there: the terminal's own never sees it.
  const held = () => !may();
  // Device attributes, status and cursor position, modes, window size.
  parser.registerCsiHandler({ final: "c" }, held);
  for (const prefix of [">", "="]) parser.registerCsiHandler({ prefix, final: "c" }, held);
  parser.registerCsiHandler({ final: "n" }, held);
  parser.registerCsiHandler({ prefix: "?", final: "n" }, held);
  parser.registerCsiHandler({ intermediates: "$", final: "p" }, held);
  parser.registerCsiHandler({ prefix: "?", intermediates: "$", final: "p" }, held);
  parser.registerCsiHandler({ prefix: ">", final: "q" }, held);
  parser.registerCsiHandler({ final: "t" }, held);
  // Settings.
  parser.registerDcsHandler({ intermediates: "$", final: "q" }, held);
  // Colours: these set them as well, and only a question is held.
  for (const code of [4, 10, 11, 12]) parser.registerOscHandler(code, (text) => text.includes("?") && !may());
}
