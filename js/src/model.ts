/** The part of anywidget's model that is used here, and how a message reaches the kernel through it. */

export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback: (...args: never[]) => void): void;
  widget_manager?: unknown;
}

type Signal = {
  connect(slot: (sender: unknown, value: unknown) => void): unknown;
  disconnect(slot: unknown): unknown;
};

/** JupyterLab's connection to a kernel. It is no documented part of a widget manager, so all of it is optional. */
export interface Kernel {
  clientId?: string;
  username?: string;
  statusChanged?: Signal;
  connectionStatusChanged?: Signal;
  sendControlMessage?(message: unknown, expectReply: boolean, dispose: boolean): unknown;
}

export function kernelOf(model: Model): Kernel | null {
  // A getter there may throw once its notebook is closed.
  try {
    return (model.widget_manager as { kernel?: Kernel | null } | undefined)?.kernel ?? null;
  } catch {
    return null;
  }
}

/**
 * Send a custom message: on the control channel where the kernel listens there (the trait `control` is then the
 * comm's id), since the shell channel waits for the running cell; else as any widget does.
 */
export function send(model: Model, content: object): void {
  const comm = model.get("control");
  const kernel = comm ? kernelOf(model) : null;
  if (!kernel?.sendControlMessage) {
    model.send(content);
    return;
  }
  const header = {
    msg_id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
    msg_type: "comm_msg",
    session: kernel.clientId ?? "",
    username: kernel.username ?? "",
    date: new Date().toISOString(),
    version: "5.2",
  };
  kernel.sendControlMessage(
    {
      channel: "control",
      header,
      parent_header: {},
      metadata: {},
      content: { comm_id: comm, data: { method: "custom", content } },
      buffers: [],
    },
    false,
    true,
  );
}

/** The bytes of a message's buffer, which front ends hand over as a DataView, an ArrayBuffer or an array. */
export function bytesOf(buffer: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  if (!ArrayBuffer.isView(buffer)) return new Uint8Array(buffer);
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
}
