// Calls, answers and events between the main thread and a worker, or between two workers, over a MessagePort.
// A call always ends: with a value, with the callee's error, or with a time-out that names the call.

/** What both `Worker`, `parentPort` and `MessagePort` offer. */
export interface Port {
  postMessage(value: unknown): void;
  on(event: 'message', listener: (value: unknown) => void): unknown;
}

/** A worker's commands: name -> (arguments) => answer. */
// biome-ignore lint/suspicious/noExplicitAny: the constraint must accept every signature
type Commands = { [name: string]: (args: any) => unknown };
type Events = { [name: string]: unknown };
type Answer<C extends Commands, K extends keyof C> = Awaited<ReturnType<C[K]>>;

type Message =
  | { kind: 'call'; id: number; name: string; args: unknown }
  | { kind: 'answer'; id: number; value: unknown }
  | { kind: 'failure'; id: number; message: string; code?: string }
  | { kind: 'event'; name: string; data: unknown };

export class RpcError extends Error {
  readonly code: string | undefined;
  constructor(message: string, code?: string) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
  }
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** The calling side: `call('open', {...})`, `on('status', f)`. */
export class Caller<C extends Commands, E extends Events> {
  readonly #port: Port;
  readonly #name: string;
  readonly #pending = new Map<number, { resolve: (v: unknown) => void; reject: (e: Error) => void; timer: NodeJS.Timeout | undefined }>();
  readonly #listeners = new Map<keyof E, ((data: never) => void)[]>();
  #next = 1;

  constructor(name: string, port: Port) {
    this.#name = name;
    this.#port = port;
    port.on('message', (m) => this.#receive(m as Message));
  }

  call<K extends keyof C & string>(name: K, args: Parameters<C[K]>[0], timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Answer<C, K>> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === Infinity
          ? undefined
          : setTimeout(() => {
              this.#pending.delete(id);
              reject(new RpcError(`${this.#name}: '${name}' did not answer within ${timeoutMs} ms`, 'TIMEOUT'));
            }, timeoutMs);
      this.#pending.set(id, { resolve: resolve as (v: unknown) => void, reject, timer });
      this.#port.postMessage({ kind: 'call', id, name, args } satisfies Message);
    });
  }

  /** Answers the function that ends the listening. */
  on<K extends keyof E>(name: K, listener: (data: E[K]) => void): () => void {
    const added = listener as (data: never) => void;
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), added]);
    return () => {
      this.#listeners.set(
        name,
        (this.#listeners.get(name) ?? []).filter((l) => l !== added),
      );
    };
  }

  #receive(m: Message): void {
    if (m.kind === 'event') {
      for (const f of this.#listeners.get(m.name) ?? []) f(m.data as never);
      return;
    }
    if (m.kind === 'call') return;
    const p = this.#pending.get(m.id);
    if (!p) return;
    this.#pending.delete(m.id);
    clearTimeout(p.timer);
    if (m.kind === 'answer') p.resolve(m.value);
    else p.reject(new RpcError(`${this.#name}: ${m.message}`, m.code));
  }
}

/** The called side. Returns `emit`, by which it reports events. */
export function serve<C extends Commands, E extends Events>(
  port: Port,
  handlers: C,
): <K extends keyof E & string>(name: K, data: E[K]) => void {
  port.on('message', async (raw) => {
    const m = raw as Message;
    if (m.kind !== 'call') return;
    const handler = handlers[m.name];
    try {
      if (!handler) throw new RpcError(`no command '${m.name}'`);
      port.postMessage({ kind: 'answer', id: m.id, value: await handler(m.args) } satisfies Message);
    } catch (e) {
      const error = e as Error & { code?: string };
      port.postMessage({
        kind: 'failure',
        id: m.id,
        message: error.message,
        ...(error.code ? { code: error.code } : {}),
      } satisfies Message);
    }
  });
  return (name, data) => port.postMessage({ kind: 'event', name, data } satisfies Message);
}
