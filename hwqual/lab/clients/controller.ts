// Starts the clients' process and speaks with it: what the campaigns hold in their hands. The process is started by the
// caller's `spawn`, which puts it into the LAN.
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type {
  Answer,
  ClientSpec,
  ConnectionAge,
  Incident,
  Notice,
  RecordsReport,
  Request,
  Sample,
  Target,
  WindowReport,
} from './protocol.ts';

/** Longest answer: `open` waits two minutes for the guest at most. */
const ANSWER_TIMEOUT_MS = 150_000;
/** Two a second: 14 hours. Older ones are dropped, the plots then begin later. */
const MAX_SAMPLES = 100_000;
/** A broken run repeats itself: the first ones tell. All are counted in the windows. */
const MAX_INCIDENTS = 1000;
const MAX_STDERR_BYTES = 16_384;

/** The default crowd: every kind over IPv4 and IPv6, gentle enough for two emulated replicas on two cores. */
export function defaultClients(): ClientSpec[] {
  const KB = 1000;
  const MiB = 1024 * 1024;
  return [
    { kind: 'download', family: 4, bytes: 4 * MiB, rateBytesPerS: 800 * KB },
    { kind: 'download', family: 6, bytes: 4 * MiB, rateBytesPerS: 500 * KB },
    // One file that lasts for the whole campaign.
    { kind: 'download', family: 4, bytes: 2 ** 34, rateBytesPerS: 200 * KB },
    { kind: 'upload', family: 4, bytes: 2 * MiB, rateBytesPerS: 400 * KB, chunked: false },
    { kind: 'upload', family: 6, bytes: 2 * MiB, rateBytesPerS: 300 * KB, chunked: true },
    { kind: 'echoTcp', family: 4, everyMs: 20 },
    { kind: 'echoTcp', family: 6, everyMs: 20 },
    { kind: 'echoUdp', family: 4, everyMs: 50 },
    { kind: 'echoUdp', family: 6, everyMs: 50 },
    { kind: 'short', family: 4, everyMs: 100, bytes: 2000 },
    { kind: 'short', family: 6, everyMs: 200, bytes: 2000 },
    { kind: 'record', family: 4, everyMs: 100 },
    { kind: 'record', family: 6, everyMs: 200 },
    { kind: 'download', family: 4, bytes: 4 * MiB, rateBytesPerS: 200 * KB, by: 'guest' },
    { kind: 'upload', family: 6, bytes: 2 * MiB, rateBytesPerS: 100 * KB, chunked: false, by: 'guest' },
    { kind: 'echoTcp', family: 4, everyMs: 50, by: 'guest' },
    { kind: 'echoTcp', family: 6, everyMs: 50, by: 'guest' },
    { kind: 'short', family: 4, everyMs: 500, bytes: 2000, by: 'guest' },
    { kind: 'short', family: 6, everyMs: 500, bytes: 2000, by: 'guest' },
  ];
}

export const GUEST_TARGET: Target = { ipv4: '10.77.0.10', ipv6: 'fd77::10' };

/** What the campaigns need of the clients; the tests put a fake in its place. */
export interface Clients {
  open(clients: readonly ClientSpec[], cohort?: string): Promise<void>;
  /** Another CoServer runs the guest since `at`, wall clock ms. */
  takeover(at: number): Promise<void>;
  ages(): Promise<ConnectionAge[]>;
  /** Ends a cohort; answers how old its connections were. */
  retire(cohort: string): Promise<ConnectionAge[]>;
  mark(label: string): Promise<WindowReport>;
  verifyRecords(): Promise<RecordsReport>;
  acknowledged(): Promise<number[]>;
  stop(): Promise<void>;
  /** Stops all and ends the process. */
  close(): Promise<void>;
  readonly samples: readonly Sample[];
  readonly incidents: readonly Incident[];
}

export interface ClientsOptions {
  /** Runs a command inside the LAN, with stdin, stdout and stderr as pipes. */
  spawn: (command: string[]) => ChildProcess;
  target?: Target;
  onIncident?: (incident: Incident) => void;
}

// Distributes over the union: Omit alone would lose the fields of its members.
type Body<R> = R extends Request ? Omit<R, 'id'> : never;

export class ClientsProcess implements Clients {
  readonly samples: Sample[] = [];
  readonly incidents: Incident[] = [];
  readonly #child: ChildProcess;
  readonly #target: Target;
  readonly #onIncident: (incident: Incident) => void;
  readonly #waiting = new Map<number, { answer: (result: unknown) => void; fail: (error: Error) => void }>();
  #nextId = 1;
  #ended: string | null = null;
  #stderr = '';

  constructor(options: ClientsOptions) {
    this.#target = options.target ?? GUEST_TARGET;
    this.#onIncident = options.onIncident ?? ((): void => {});
    const child = options.spawn([process.execPath, '--no-warnings', join(import.meta.dirname, 'main.ts')]);
    this.#child = child;
    if (child.stdin === null || child.stdout === null || child.stderr === null)
      throw new Error('the clients need pipes for stdin, stdout and stderr');
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(JSON.parse(line)));
    child.stderr.on('data', (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-MAX_STDERR_BYTES);
    });
    child.stdin.on('error', () => {});
    child.on('error', (error) => this.#end(`the clients did not start: ${error.message}`));
    child.on('exit', (code, signal) => this.#end(`the clients ended (${signal ?? `status ${code}`}) ${this.#stderr.trim()}`.trim()));
  }

  async open(clients: readonly ClientSpec[], cohort = 'first'): Promise<void> {
    await this.#ask({ request: 'open', target: this.#target, clients: [...clients], cohort });
  }

  async takeover(at: number): Promise<void> {
    await this.#ask({ request: 'takeover', at });
  }

  async ages(): Promise<ConnectionAge[]> {
    return (await this.#ask({ request: 'ages' })) as ConnectionAge[];
  }

  async retire(cohort: string): Promise<ConnectionAge[]> {
    return (await this.#ask({ request: 'retire', cohort })) as ConnectionAge[];
  }

  async mark(label: string): Promise<WindowReport> {
    return (await this.#ask({ request: 'mark', label })) as WindowReport;
  }

  async verifyRecords(): Promise<RecordsReport> {
    return (await this.#ask({ request: 'verifyRecords' })) as RecordsReport;
  }

  async acknowledged(): Promise<number[]> {
    return (await this.#ask({ request: 'acknowledged' })) as number[];
  }

  async stop(): Promise<void> {
    await this.#ask({ request: 'stop' });
  }

  async close(): Promise<void> {
    if (this.#ended !== null) return;
    const exited = new Promise<void>((done) => this.#child.once('exit', () => done()));
    this.#child.stdin?.end();
    await exited;
  }

  #ask(body: Body<Request>): Promise<unknown> {
    if (this.#ended !== null) return Promise.reject(new Error(this.#ended));
    const id = this.#nextId++;
    return new Promise((answer, fail) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        fail(new Error(`the clients did not answer "${body.request}" within ${ANSWER_TIMEOUT_MS} ms`));
      }, ANSWER_TIMEOUT_MS);
      const settled = () => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, {
        answer: (result) => {
          settled();
          answer(result);
        },
        fail: (error) => {
          settled();
          fail(error);
        },
      });
      this.#child.stdin?.write(`${JSON.stringify({ id, ...body })}\n`);
    });
  }

  #take(message: Answer | Notice): void {
    if ('id' in message) {
      const waiting = this.#waiting.get(message.id);
      if ('error' in message) waiting?.fail(new Error(message.error));
      else waiting?.answer(message.result);
    } else if (message.notice === 'sample') {
      this.samples.push(message.sample);
      if (this.samples.length > MAX_SAMPLES) this.samples.shift();
    } else {
      if (this.incidents.length < MAX_INCIDENTS) this.incidents.push(message.incident);
      this.#onIncident(message.incident);
    }
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    for (const waiting of [...this.#waiting.values()]) waiting.fail(new Error(this.#ended));
  }
}
