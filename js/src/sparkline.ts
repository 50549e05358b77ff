/** A small drawing of CPU and memory over the job's life. */
import { drawing, element } from "./dom.ts";
import type { UsagePoint } from "./messages.ts";
import { humanBytes } from "./words.ts";

const WIDTH = 96;
const HEIGHT = 20;
/** More points than the drawing has pixels show nothing more. */
const MOST = 400;

export class Sparkline {
  readonly root = element("span", { class: "ipyproc-usage", role: "img" });
  private readonly cpu = drawing("path", { class: "ipyproc-cpu", fill: "none" });
  private readonly memory = drawing("path", { class: "ipyproc-memory" });
  private readonly now = element("span", { class: "ipyproc-now" });
  private points: UsagePoint[] = [];

  constructor() {
    const svg = drawing("svg", { width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.memory, this.cpu);
    this.root.append(svg, this.now);
    this.root.hidden = true;
  }

  /** @param all whether these are all points, and not those after the ones that are there. */
  add(points: UsagePoint[], all: boolean): void {
    const last = this.points.at(-1)?.[0] ?? -1;
    this.points = all ? [...points] : [...this.points, ...points.filter(([seconds]) => seconds > last)];
    if (this.points.length > MOST) this.points = thinned(this.points);
    this.draw();
  }

  private draw(): void {
    const end = this.points.at(-1);
    this.root.hidden = !end;
    if (!end) return;
    const most = { cpu: 100, bytes: 1 };
    for (const [, cpu, bytes] of this.points) {
      most.cpu = Math.max(most.cpu, cpu ?? 0);
      most.bytes = Math.max(most.bytes, bytes ?? 0);
    }
    this.cpu.setAttribute("d", line(this.points, 1, most.cpu));
    const area = line(this.points, 2, most.bytes * 1.1);
    this.memory.setAttribute("d", area && `${area}V${HEIGHT}H${xOf(this.points, 0)}Z`);
    const [, cpu, bytes] = end;
    const parts = [cpu === null ? "" : `${Math.round(cpu)} %`, bytes ? humanBytes(bytes) : ""];
    const text = parts.filter(Boolean).join(" · ");
    this.now.textContent = text;
    const label = `CPU and memory now: ${text}; at most ${Math.round(most.cpu)} %, ${humanBytes(most.bytes)}`;
    this.root.setAttribute("aria-label", label);
    this.root.title = label;
  }
}

function xOf(points: UsagePoint[], index: number): number {
  const first = points[0]?.[0] ?? 0;
  const span = (points.at(-1)?.[0] ?? 0) - first || 1;
  return Math.round((((points[index]?.[0] ?? first) - first) / span) * WIDTH * 10) / 10;
}

function line(points: UsagePoint[], part: 1 | 2, most: number): string {
  let path = "";
  points.forEach((point, index) => {
    const value = point[part];
    if (value === null) return;
    const y = Math.round((HEIGHT - 1 - (value / most) * (HEIGHT - 2)) * 10) / 10;
    path += `${path ? "L" : "M"}${xOf(points, index)} ${y}`;
  });
  return path;
}

/** Every other point of the older half; the end stays. */
function thinned(points: UsagePoint[]): UsagePoint[] {
  const half = points.length >> 1;
  return points.filter((_, index) => index >= half || index % 2 === 0);
}
