/**
 * The `_esm` of the widget. It is stored in each model, so it is kept small: the view itself is asked of the
 * kernel once a page, and kept under a global symbol.
 */
import { bytesOf, type Model, send } from "./model.ts";

type Library = typeof import("./index.ts");
type Cache = Record<symbol, Promise<Library> | undefined>;

function ask(model: Model): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve) => {
    // A kernel that is busy answers late, and a server may drop a message: ask again, each time later.
    let seconds = 5;
    let timer: ReturnType<typeof setTimeout>;
    const again = () => {
      send(model, { type: "code" });
      timer = setTimeout(again, seconds * 1000);
      seconds *= 2;
    };
    const take = (message: { type?: string }, buffers?: (ArrayBuffer | ArrayBufferView)[]) => {
      if (message?.type !== "code" || !buffers?.[0]) return;
      clearTimeout(timer);
      model.off("msg:custom", take);
      resolve(bytesOf(buffers[0]));
    };
    model.on("msg:custom", take);
    again();
  });
}

async function load(model: Model): Promise<Library> {
  const plain = new Blob([await ask(model)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const url = URL.createObjectURL(
    new Blob([await new Response(plain).arrayBuffer()], { type: "text/javascript" }),
  );
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The library of this page. Where another view has asked for it in vain (its notebook was closed), ask again. */
function library(model: Model): Promise<Library> {
  const key = Symbol.for(`ipyproc.live ${model.get("version")}`);
  const cache = globalThis as unknown as Cache;
  const asked = cache[key];
  if (asked) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => load(model).then(resolve, reject), 10_000);
      asked.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
  const loading = load(model);
  cache[key] = loading;
  loading.catch(() => delete cache[key]);
  return loading;
}

export default {
  async render({ model, el }: { model: Model; el: HTMLElement }): Promise<(() => void) | undefined> {
    try {
      const { render } = await library(model);
      return render({ model, el, send });
    } catch (error) {
      el.textContent = `The live view could not be shown in this page (${error}); %logs shows the output.`;
      return undefined;
    }
  },
};
