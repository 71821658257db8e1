// One measure seen by a client in the LAN: `node main.ts MEASURE SECONDS` prints one line of JSON, a MeasureResult. A process of its own,
// so that what reads counters and talks to monitors does not disturb it.
//
// Work that the guest does by itself (fsync, cpu) is divided by the time that passed here: a guest's own clock stands still with it.
import { connect, type Socket } from 'node:net';
import { GUEST_ADDRESS, HUNG_AFTER_MS, type MeasureResult, PORTS } from '../measure.ts';
import { quantile } from '../reading.ts';

/** Before the counting: slow start, and the first checkpoint of a connection. */
const WARM_UP_MS = 500;
const ECHO_BYTES = 64;
const SHORT_BYTES = 2000;
/** Several at a time: one alone would only measure the latency again. */
const SHORT_CLIENTS = 4;
const UPLOAD_PIECE = Buffer.alloc(65_536, 'twinstep');

/** What is said when nothing comes. Progress is anything that the guest is known to have done. */
class Watch {
  readonly #startedMs = performance.now();
  #progressMs = performance.now();
  readonly #ended = Promise.withResolvers<string | null>();
  readonly #timer: NodeJS.Timeout;

  /** @param seconds The end, unless nothing comes just then: that is waited for, up to HUNG_AFTER_MS. */
  constructor(seconds: number) {
    const endMs = this.#startedMs + seconds * 1000;
    this.#timer = setInterval(() => {
      const now = performance.now();
      const idleMs = now - this.#progressMs;
      if (idleMs >= HUNG_AFTER_MS) {
        const from = (this.#progressMs - this.#startedMs) / 1000;
        this.end(`hung after ${from.toFixed(1)} s: nothing for ${HUNG_AFTER_MS / 1000} s`);
      } else if (now >= endMs && idleMs < IDLE_AT_END_MS) this.end(null);
    }, 20);
  }

  progress(): void {
    this.#progressMs = performance.now();
  }

  end(problem: string | null): void {
    clearInterval(this.#timer);
    this.#ended.resolve(problem);
  }

  get over(): Promise<string | null> {
    return this.#ended.promise;
  }
}
/** Less than this without progress at the end is the ordinary time between two answers. */
const IDLE_AT_END_MS = 1_000;

function open(port: number, watch: Watch): Socket {
  const socket = connect({ host: GUEST_ADDRESS, port, noDelay: true });
  socket.on('error', (error: NodeJS.ErrnoException) => watch.end(`broken: ${error.code ?? error.message}`));
  return socket;
}

/** Bytes per second between the end of the warm-up and the last progress. */
class Rate {
  readonly #startedMs = performance.now();
  #fromMs = 0;
  #fromBytes = 0;
  #bytes = 0;

  reached(bytes: number): void {
    this.#bytes = bytes;
    const now = performance.now();
    if (this.#fromMs === 0 && now - this.#startedMs >= WARM_UP_MS) {
      this.#fromMs = now;
      this.#fromBytes = bytes;
    }
  }

  get mbitPerS(): number {
    const from = this.#fromMs === 0 ? this.#startedMs : this.#fromMs;
    return ((this.#bytes - this.#fromBytes) * 8) / 1000 / (performance.now() - from);
  }
}

async function download(seconds: number): Promise<MeasureResult> {
  const watch = new Watch(seconds + WARM_UP_MS / 1000);
  const rate = new Rate();
  const socket = open(PORTS.source, watch);
  let bytes = 0;
  socket.on('data', (piece: Buffer) => {
    bytes += piece.length;
    rate.reached(bytes);
    watch.progress();
  });
  socket.on('end', () => watch.end('broken: closed by the guest'));
  const problem = await watch.over;
  const values = { mbitPerS: rate.mbitPerS };
  socket.destroy();
  return { values, problem };
}

async function upload(seconds: number): Promise<MeasureResult> {
  const watch = new Watch(seconds + WARM_UP_MS / 1000);
  const rate = new Rate();
  const socket = open(PORTS.sink, watch);
  const fill = () => {
    while (socket.write(UPLOAD_PIECE));
  };
  socket.on('connect', fill);
  socket.on('drain', fill);
  let text = '';
  socket.on('data', (piece: Buffer) => {
    text += piece.toString('latin1');
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    rate.reached(Number(lines.at(-1) ?? 0));
    watch.progress();
  });
  socket.on('end', () => watch.end('broken: closed by the guest'));
  const problem = await watch.over;
  const values = { mbitPerS: rate.mbitPerS };
  socket.destroy();
  return { values, problem };
}

async function echo(seconds: number): Promise<MeasureResult> {
  const watch = new Watch(seconds);
  const socket = open(PORTS.echo, watch);
  const message = Buffer.alloc(ECHO_BYTES, 'echo');
  const latencies: number[] = [];
  let sentMs = 0;
  let received = 0;
  const ask = () => {
    received = 0;
    sentMs = performance.now();
    socket.write(message);
  };
  socket.on('connect', ask);
  socket.on('data', (piece: Buffer) => {
    watch.progress();
    received += piece.length;
    if (received < ECHO_BYTES) return;
    latencies.push(performance.now() - sentMs);
    ask();
  });
  socket.on('end', () => watch.end('broken: closed by the guest'));
  const problem = await watch.over;
  socket.destroy();
  latencies.sort((a, b) => a - b);
  const p50Ms = quantile(latencies, 0.5);
  const p99Ms = quantile(latencies, 0.99);
  const found = p50Ms === null || p99Ms === null ? {} : { p50Ms, p99Ms };
  return { values: { ...found, answers: latencies.length }, problem };
}

async function short(seconds: number): Promise<MeasureResult> {
  const watch = new Watch(seconds);
  const startedMs = performance.now();
  let done = 0;
  let over = false;
  const sockets = new Set<Socket>();
  const one = () => {
    if (over) return;
    const socket = open(PORTS.http, watch);
    sockets.add(socket);
    let bytes = 0;
    socket.on('connect', () => socket.write(`GET /file/${SHORT_BYTES} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n`));
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    socket.on('end', () => {
      sockets.delete(socket);
      socket.destroy();
      if (bytes < SHORT_BYTES) {
        watch.end('broken: closed before the answer was complete');
        return;
      }
      done++;
      watch.progress();
      one();
    });
  };
  for (let i = 0; i < SHORT_CLIENTS; i++) one();
  const problem = await watch.over;
  over = true;
  const perS = (done * 1000) / (performance.now() - startedMs);
  for (const socket of sockets) socket.destroy();
  return { values: { perS }, problem };
}

async function work(what: 'fsync' | 'cpu', seconds: number): Promise<MeasureResult> {
  const watch = new Watch(seconds + HUNG_AFTER_MS / 1000);
  const socket = open(PORTS.control, watch);
  let askedMs = 0;
  let perS = 0;
  let text = '';
  // The guest owes nothing while it works.
  const patience = setTimeout(() => clearInterval(progress), seconds * 1000);
  const progress = setInterval(() => watch.progress(), 100);
  socket.on('connect', () => {
    askedMs = performance.now();
    socket.write(`${what} ${Math.round(seconds * 1000)}\n`);
  });
  socket.on('data', (piece: Buffer) => {
    text += piece.toString('latin1');
    if (!text.includes('\n')) return;
    const operations = Number(/^ok (\d+)\n/.exec(text)?.[1]);
    perS = (operations * 1000) / (performance.now() - askedMs);
    watch.end(operations > 0 ? null : `the guest answered ${JSON.stringify(text)}`);
  });
  socket.on('end', () => watch.end('broken: closed by the guest'));
  const problem = await watch.over;
  clearTimeout(patience);
  clearInterval(progress);
  socket.destroy();
  return { values: problem === null ? (what === 'cpu' ? { mloopsPerS: perS / 1e6 } : { perS }) : {}, problem };
}

/** Is anybody there? One echo. */
async function alive(): Promise<MeasureResult> {
  const watch = new Watch(HUNG_AFTER_MS / 1000);
  const socket = open(PORTS.echo, watch);
  socket.on('connect', () => socket.write('?'));
  socket.on('data', () => watch.end(null));
  const problem = await watch.over;
  socket.destroy();
  return { values: {}, problem };
}

function start(what: string, seconds: number): Promise<MeasureResult> {
  switch (what) {
    case 'download':
      return download(seconds);
    case 'upload':
      return upload(seconds);
    case 'echo':
      return echo(seconds);
    case 'short':
      return short(seconds);
    case 'fsync':
    case 'cpu':
      return work(what, seconds);
    case 'alive':
      return alive();
    default:
      throw new Error(`there is no measure "${what}"`);
  }
}

const [what = '', seconds = ''] = process.argv.slice(2);
const result = await start(what, Number(seconds));
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
