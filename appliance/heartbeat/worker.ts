// The heartbeat's thread: sends, listens, keeps the clock, asks the core for verdicts and reports them. It does nothing else.
//
// Each tick, for each link: look at the carrier, send a frame on both paths, let the core judge. The time-out is never below the floor that
// the measured lateness of this very thread allows.
import { randomBytes } from 'node:crypto';
import { setPriority } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import { setThreadRealtime } from '../../drivers/ethernet/index.ts';
import { allowedLatenessMs, type HeartbeatInput, type HeartbeatLimits, heartbeatStart, heartbeatStep } from '../core/heartbeat.ts';
import { encodeHeartbeat, heartbeatKey, NO_INCARNATION } from '../wire/heartbeat.ts';
import { serve } from '../wire/rpc.ts';
import { Acceptance } from './acceptance.ts';
import type {
  HeartbeatCommands,
  HeartbeatEvents,
  HeartbeatJitter,
  HeartbeatPath,
  HeartbeatPayload,
  HeartbeatSetup,
  HeartbeatStatus,
} from './api.ts';
import { floorMs, JitterMeter } from './jitter.ts';
import { LinkPaths } from './paths.ts';

const STATUS_MS = 1_000;
const RTT_SAMPLES = 100;
/** Low among the real-time priorities: above every ordinary thread, below the kernel's own. */
const REALTIME_PRIORITY = 10;
/** The clock and its floor cannot be finer than what setTimeout can do. */
const INTERVAL_MIN_MS = 2;

interface LinkRecord {
  paths: LinkPaths;
  carrier: boolean;
  received: number;
  rtt: number[];
  rttNext: number;
}

export interface RunningHeartbeat {
  stop(): void;
}

/** Throws RangeError for a setup that cannot be meant. NICs that are missing are not an error: their links are down until they appear. */
export function runHeartbeatWorker(setup: HeartbeatSetup, port: MessagePort): RunningHeartbeat {
  if (!(setup.intervalMs >= INTERVAL_MIN_MS))
    throw new RangeError(`a heartbeat interval of ${setup.intervalMs} ms: at least ${INTERVAL_MIN_MS} are needed`);
  if (!(setup.timeoutMs >= 3 * setup.intervalMs)) {
    throw new RangeError(`a heartbeat time-out of ${setup.timeoutMs} ms: at least 3 intervals of ${setup.intervalMs} ms are needed`);
  }
  const heartbeat = new Heartbeat(setup, port);
  heartbeat.start();
  return heartbeat;
}

/** This thread before all others: real-time if the machine allows it, else the best nice value. */
function preferThisThread(): void {
  try {
    setThreadRealtime(REALTIME_PRIORITY);
  } catch {
    try {
      setPriority(-20); // on Linux the calling thread's only
    } catch {
      // Neither: the measured jitter, and so the floor of the time-out, tell.
    }
  }
}

class Heartbeat implements RunningHeartbeat {
  readonly #setup: HeartbeatSetup;
  readonly #key: ReturnType<typeof heartbeatKey>;
  readonly #incarnation = newIncarnation();
  readonly #door: Acceptance;
  readonly #links: LinkRecord[];
  readonly #meter: JitterMeter;
  readonly #measures = new Set<JitterMeter>();
  readonly #emit: ReturnType<typeof serve<HeartbeatCommands, HeartbeatEvents>>;
  #state: ReturnType<typeof heartbeatStart>;
  #payload: HeartbeatPayload = { generation: 0, role: 0, revision: 0 };
  #sequence = 0;
  #dueMs = 0;
  #statusDueMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(setup: HeartbeatSetup, port: MessagePort) {
    this.#setup = setup;
    this.#key = heartbeatKey(setup.pairId, setup.pairKey);
    this.#door = new Acceptance(setup.coServer, this.#incarnation, setup.links.length, this.#key);
    this.#meter = new JitterMeter(performance.now());
    this.#state = heartbeatStart(setup.links.length);
    this.#links = setup.links.map((link, index) => ({
      paths: new LinkPaths(link, (path, bytes) => this.#receive(index, path, bytes)),
      carrier: false,
      received: 0,
      rtt: [],
      rttNext: 0,
    }));
    this.#emit = serve<HeartbeatCommands, HeartbeatEvents>(port, {
      setPayload: (payload) => this.#setPayload(payload),
      measureJitter: ({ durationMs }) => this.#measureJitter(durationMs),
      status: () => this.#status(),
    });
  }

  start(): void {
    preferThisThread();
    const now = performance.now();
    // Opening sockets takes milliseconds: before the clock starts, so that it is not counted as lateness.
    for (const link of this.#links) link.paths.look(now);
    this.#dueMs = performance.now() + this.#setup.intervalMs;
    this.#statusDueMs = this.#dueMs + STATUS_MS;
    this.#timer = setTimeout(() => this.#tick(), this.#setup.intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const link of this.#links) link.paths.close();
  }

  /** Never below what this thread's clock can keep. */
  get #timeoutMs(): number {
    return Math.max(this.#setup.timeoutMs, floorMs(this.#setup.intervalMs, this.#meter.maxMs));
  }

  get #limits(): HeartbeatLimits {
    return { intervalMs: this.#setup.intervalMs, timeoutMs: this.#timeoutMs, allowedLatenessMs: allowedLatenessMs(this.#setup.timeoutMs) };
  }

  #tick(): void {
    if (this.#stopped) return;
    const now = performance.now();
    const due = this.#dueMs;
    const lateMs = Math.max(0, now - due);
    // A sleep is not jitter: it is reported, and does not make the time-out longer for the next minutes.
    if (lateMs <= allowedLatenessMs(this.#setup.timeoutMs)) this.#meter.add(now, lateMs);
    for (const measure of this.#measures) measure.add(now, lateMs);
    // What came in meanwhile is read first, then the answers are young and the verdicts fair, also after a stall.
    setImmediate(() => this.#round(due, lateMs));
  }

  #round(due: number, lateMs: number): void {
    if (this.#stopped) return;
    const now = performance.now();
    this.#send(now);
    for (const [index, link] of this.#links.entries()) {
      const up = link.paths.look(now);
      if (up !== link.carrier) {
        link.carrier = up;
        this.#step({ kind: 'carrier', at: now, link: index, carrier: up });
      }
    }
    for (const report of this.#door.reports(now)) this.#emit('dropped', report);
    this.#step({ kind: 'tick', at: now, lateMs });
    if (now >= this.#statusDueMs) {
      this.#statusDueMs = now + STATUS_MS;
      this.#emit('status', this.#status());
    }
    const after = performance.now();
    this.#dueMs = due + this.#setup.intervalMs;
    if (this.#dueMs <= after) this.#dueMs = after + this.#setup.intervalMs;
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, Math.round(this.#dueMs - after)));
  }

  #step(input: HeartbeatInput): void {
    const { state, verdicts, lateMs } = heartbeatStep(this.#state, input, this.#limits);
    this.#state = state;
    // Late first: who receives it must suspect itself before it believes anything else.
    if (lateMs !== null) this.#emit('late', { lateMs });
    for (const verdict of verdicts) this.#emit('link', verdict);
  }

  #send(now: number): void {
    this.#sequence++;
    for (const [link, record] of this.#links.entries()) {
      record.paths.sendEthernet(this.#frame(link, 'ethernet', now));
      record.paths.sendIp(this.#frame(link, 'ip', now));
    }
  }

  #frame(link: number, path: HeartbeatPath, now: number): Buffer {
    return encodeHeartbeat(
      {
        sender: this.#setup.coServer,
        link,
        path,
        incarnation: this.#incarnation,
        sequence: this.#sequence,
        sentUs: Math.floor(now * 1000),
        ...this.#payload,
        echo: this.#door.echo(link, path, now),
      },
      this.#key,
    );
  }

  #receive(index: number, path: HeartbeatPath, bytes: Buffer): void {
    const link = this.#links[index];
    if (!link || this.#stopped) return;
    const now = performance.now();
    const frame = this.#door.accept(bytes, index, path, now, this.#timeoutMs);
    if (!frame) return;
    link.received++;
    if (frame.rttMs !== null) {
      link.rtt[link.rttNext] = frame.rttMs;
      link.rttNext = (link.rttNext + 1) % RTT_SAMPLES;
    }
    if (frame.news) this.#emit('partner', frame.news);
    this.#step({ kind: 'frame', at: now, link: index, path, echoSentMs: frame.echoSentMs });
  }

  #setPayload({ generation, role, revision }: HeartbeatPayload): void {
    if (!Number.isSafeInteger(generation) || generation < 0) throw new RangeError(`generation ${generation}`);
    if (!Number.isInteger(role) || role < 0 || role > 3) throw new RangeError(`role ${role}: 0 to 3`);
    if (!Number.isInteger(revision) || revision < 0 || revision > 0xffffffff) throw new RangeError(`revision ${revision}`);
    this.#payload = { generation, role, revision };
    // The partner should know at once, not an interval later.
    if (!this.#stopped) this.#send(performance.now());
  }

  async #measureJitter(durationMs: number): Promise<HeartbeatJitter> {
    const meter = new JitterMeter(performance.now());
    this.#measures.add(meter);
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    this.#measures.delete(meter);
    return { ...meter.read(), floorMs: floorMs(this.#setup.intervalMs, meter.maxMs) };
  }

  #status(): HeartbeatStatus {
    const now = performance.now();
    const age = (at: number | null | undefined): number => (at === null || at === undefined ? -1 : now - at);
    return {
      links: this.#links.map((link, index) => {
        const state = this.#state.links[index];
        return {
          link: index,
          up: state?.up ?? false,
          carrier: link.carrier,
          ethernetAgeMs: age(state?.heardMs.ethernet),
          ipAgeMs: age(state?.heardMs.ip),
          rttMs: median(link.rtt),
          received: link.received,
          dropped: this.#door.dropped(index),
        };
      }),
      jitter: { ...this.#meter.read(), floorMs: floorMs(this.#setup.intervalMs, this.#meter.maxMs) },
      timeoutMs: this.#timeoutMs,
    };
  }
}

function newIncarnation(): string {
  const incarnation = randomBytes(8).toString('hex');
  return incarnation === NO_INCARNATION ? newIncarnation() : incarnation;
}

function median(values: number[]): number {
  if (values.length === 0) return -1;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? -1;
}
