/** What the page and the kernel say to each other: custom messages of one widget's model, JSON with buffers. */

/** What a person can do to a job; `can` of a status says which of them would do something now. */
export type Action = "stop" | "restart" | "signal" | "close" | "forget" | "save" | "input";

export interface WorkerStatus {
  n: number;
  state: string;
  pid?: number | null;
  restarts?: number;
  /** How it ended, where it has: negative for a signal. */
  exit?: number | null;
  seconds?: number | null;
  cpu?: number | null;
  memory?: number | null;
  /** Operations in the last second, where it counts them. */
  operations?: number | null;
  can?: Action[];
}

export interface JobStatus {
  name: string;
  /** The command, on one line. */
  command?: string;
  /** The state in words, such as "running" or "stopped, SIGTERM". */
  words: string;
  /** The state as a style: "running", "waiting", "ok", "failed", "stopped", "gone". */
  kind: string;
  pid?: number | null;
  /** Seconds since the start, by the kernel's clock; a page counts on from there. */
  seconds?: number | null;
  exit?: number | null;
  by?: string | null;
  /** How many of its processes still run after its end. */
  left?: number;
  restarts?: number;
  /** Whether it is ready to serve; null where nobody asked. */
  ready?: boolean | null;
  /** Whether it goes on when the kernel ends. */
  kept?: boolean;
  notes?: string[];
  can?: Action[];
  tty?: boolean;
  /** The terminal's echo is off: what is typed must not be shown. */
  hides?: boolean;
  wants_input?: boolean;
  url?: string | null;
  workers?: WorkerStatus[];
  /** The number of bytes that it has written; a page that has drawn fewer asks for the rest. */
  size?: number;
  /** CPU in percent of one core, bytes of memory, and the last line of output, in a table of jobs. */
  cpu?: number | null;
  memory?: number | null;
  last?: string;
  /** A notice comes at the end: the page may ask for the permission beforehand. */
  notify?: boolean;
}

export interface Notice {
  title: string;
  text: string;
}

/** Seconds since the start, CPU in percent of one core, bytes of memory. */
export type UsagePoint = [seconds: number, cpu: number | null, bytes: number | null];

export type FromKernel =
  | { type: "code"; hash: string }
  | { type: "status" | "ended"; page?: string; job: JobStatus; open?: boolean; notify?: Notice }
  | { type: "usage"; page?: string; points: UsagePoint[]; all?: boolean }
  | { type: "screen"; page: string; offset: number; rows: number; columns: number; owner?: string | null }
  | { type: "output"; page: string; offset: number; replay?: boolean }
  | { type: "file"; page: string; name: string; text?: boolean }
  | { type: "note"; page?: string; text: string }
  | { type: "table"; page?: string; rows: JobStatus[]; caption?: string; over?: boolean };

/** What a page says, without its own name, which the transport adds. */
export type FromPage =
  | { type: "hello"; age: number }
  | { type: "open"; rows: number; columns: number; owns: boolean }
  | { type: "shut" }
  | { type: "ack"; offset: number }
  | { type: "ask"; offset: number }
  | { type: "input"; data: string; line: boolean }
  | { type: "resize"; rows: number; columns: number }
  | { type: "act"; do: Action; signal?: string; worker?: number; name?: string }
  | { type: "save"; text?: boolean }
  | { type: "bye" };
