// All clients of one process: opens them, reads their windows and samples, checks the acknowledged records against the disk.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DownloadClient } from './download.ts';
import { EchoTcpClient } from './echo-tcp.ts';
import { EchoUdpClient } from './echo-udp.ts';
import { Histogram } from './histogram.ts';
import {
  type ClientKind,
  type ClientSpec,
  type ConnectionAge,
  type Incident,
  type KindReport,
  type RecordsReport,
  reportedKind,
  type Sample,
  type Target,
  type WindowReport,
} from './protocol.ts';
import { RecordBook, RecordClient, readRecords } from './record.ts';
import { ShortClient } from './short.ts';
import { Tally } from './tally.ts';
import { type Client, nowMs } from './tcp-client.ts';
import { UploadClient } from './upload.ts';

/** `list` of a long campaign is some hundred thousand lines through a gate that holds output. */
const LIST_TIMEOUT_MS = 60_000;
/** Emulated, on a busy machine, a guest starts in 5 to 20 s. */
const GUEST_START_MS = 60_000;
const GUEST_POLL_MS = 500;
const NAMED_LOST_RECORDS = 50;
/** Clients of one process: with more, the process itself would be what is measured. */
const MAX_CLIENTS = 200;

export class CrowdOfClients {
  readonly #incident: (incident: Incident) => void;
  readonly #clients: Client[] = [];
  readonly #cohorts = new Map<Client, string>();
  /** Of clients that ended in this window. */
  readonly #retired: Tally[] = [];
  readonly #book = new RecordBook(Date.now());
  readonly #before = new Set<number>();
  readonly #lag = monitorEventLoopDelay({ resolution: 10 });
  #host: string | null = null;
  #label = 'start';
  #windowAt = Date.now();
  #windowStartMs = nowMs();

  constructor(incident: (incident: Incident) => void) {
    this.#incident = incident;
    this.#lag.enable();
  }

  /** Opens these clients in addition to those that run. The first call notes the records that are on the disk already. */
  async open(target: Target, specs: readonly ClientSpec[], cohort = 'first'): Promise<void> {
    if (this.#clients.length + specs.length > MAX_CLIENTS) throw new Error(`more than ${MAX_CLIENTS} clients in one process`);
    if (this.#host === null) {
      this.#host = target.ipv4;
      for (const number of await this.#firstRecords(target.ipv4)) this.#before.add(number);
    }
    for (const spec of specs) {
      const client = this.#make(spec, spec.family === 6 ? target.ipv6 : target.ipv4);
      this.#clients.push(client);
      this.#cohorts.set(client, cohort);
      client.start();
    }
  }

  /** The guest may still be starting: refused or unreachable is no failure yet. */
  async #firstRecords(host: string): Promise<number[]> {
    const deadline = nowMs() + GUEST_START_MS;
    for (;;) {
      try {
        return await readRecords(host, LIST_TIMEOUT_MS);
      } catch (error) {
        if (nowMs() > deadline) throw error;
        await new Promise((done) => setTimeout(done, GUEST_POLL_MS));
      }
    }
  }

  #make(spec: ClientSpec, host: string): Client {
    const tally = new Tally(reportedKind(spec), spec.family, this.#incident);
    switch (spec.kind) {
      case 'download':
        return new DownloadClient(tally, host, spec);
      case 'upload':
        return new UploadClient(tally, host, spec);
      case 'echoTcp':
        return new EchoTcpClient(tally, host, spec);
      case 'echoUdp':
        return new EchoUdpClient(tally, host, spec);
      case 'short':
        return new ShortClient(tally, host, spec);
      case 'record':
        return new RecordClient(tally, host, spec, this.#book);
      default: {
        const unknown: never = spec;
        throw new Error(`unknown client ${JSON.stringify(unknown)}`);
      }
    }
  }

  takeover(atWallMs: number): void {
    for (const client of this.#clients) client.takeover?.(atWallMs);
  }

  ages(clients: readonly Client[] = this.#clients): ConnectionAge[] {
    return clients.flatMap((client) => {
      const age = client.age?.() ?? null;
      const { kind, family } = client.tally;
      return age === null ? [] : [{ kind, family, cohort: this.#cohorts.get(client) ?? '', ...age }];
    });
  }

  /** Ends the clients of a cohort and answers what their connections had come to. What they counted in this window is kept. */
  retire(cohort: string): ConnectionAge[] {
    const leaving = this.#clients.filter((client) => this.#cohorts.get(client) === cohort);
    const ages = this.ages(leaving);
    for (const client of leaving) {
      client.stop();
      this.#cohorts.delete(client);
      this.#clients.splice(this.#clients.indexOf(client), 1);
      this.#retired.push(client.tally);
    }
    return ages;
  }

  check(): void {
    for (const client of this.#clients) client.check();
  }

  async mark(label: string): Promise<WindowReport> {
    this.check();
    const now = nowMs();
    const report: WindowReport = {
      label: this.#label,
      at: this.#windowAt,
      lengthMs: Math.round(now - this.#windowStartMs),
      lagMs: Math.round(this.#lag.max / 1e6),
      kinds: this.#kinds(now),
    };
    for (const client of this.#clients) client.tally.startRound();
    this.#retired.length = 0;
    this.#lag.reset();
    this.#label = label;
    this.#windowAt = Date.now();
    this.#windowStartMs = now;
    return report;
  }

  #kinds(now: number): WindowReport['kinds'] {
    const kinds: Partial<Record<ClientKind, KindReport>> = {};
    for (const [kind, tallies] of this.#byKind([...this.#clients.map(({ tally }) => tally), ...this.#retired])) {
      const latency = new Histogram();
      const sum = (read: (tally: Tally) => number): number => tallies.reduce((total, tally) => total + read(tally), 0);
      for (const tally of tallies) latency.merge(tally.latency);
      kinds[kind] = {
        clients: tallies.length,
        operations: sum((tally) => tally.operations),
        bytes: sum((tally) => tally.bytes),
        stallMs: Math.round(Math.max(...tallies.map((tally) => tally.meter.longestMs('round', now)))),
        hung: sum((tally) => tally.hung),
        broken: sum((tally) => tally.broken),
        wrong: sum((tally) => tally.wrong),
        resent: sum((tally) => tally.resent),
        latencyMs: latency.percentiles(),
      };
    }
    return kinds;
  }

  sample(): Sample {
    const now = nowMs();
    const sample: Sample = { at: Date.now(), kinds: {} };
    for (const [kind, tallies] of this.#byKind(this.#clients.map(({ tally }) => tally))) {
      sample.kinds[kind] = {
        operations: tallies.reduce((total, tally) => total + tally.sampleOperations, 0),
        bytes: tallies.reduce((total, tally) => total + tally.sampleBytes, 0),
        stallMs: Math.round(Math.max(...tallies.map((tally) => tally.meter.longestMs('sample', now)))),
      };
      for (const tally of tallies) tally.startSample();
    }
    return sample;
  }

  #byKind(tallies: readonly Tally[]): Map<ClientKind, Tally[]> {
    const kinds = new Map<ClientKind, Tally[]>();
    for (const tally of tallies) kinds.set(tally.kind, [...(kinds.get(tally.kind) ?? []), tally]);
    return kinds;
  }

  /** Everything acknowledged before this call must be in the list that the guest reads from its disk now. */
  async verifyRecords(): Promise<RecordsReport> {
    if (this.#host === null) throw new Error('no clients were opened');
    const acknowledged = [...this.#book.acknowledged];
    const onDisk = await readRecords(this.#host, LIST_TIMEOUT_MS);
    const present = new Set(onDisk);
    const lost = acknowledged.filter((number) => !present.has(number));
    return {
      acknowledged: acknowledged.length,
      onDisk: onDisk.length,
      lostCount: lost.length,
      lost: lost.slice(0, NAMED_LOST_RECORDS),
      unknownCount: onDisk.filter((number) => !this.#before.has(number) && !this.#book.has(number)).length,
    };
  }

  async acknowledged(): Promise<number[]> {
    return [...this.#book.acknowledged];
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.stop();
    this.#clients.length = 0;
  }
}
