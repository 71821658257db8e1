// The same TCP connections through ten takeovers: each time the server of the primary loses its power, and the pair is duplex again
// before the next. Connections of every kind that last for the whole campaign, over IPv4 and IPv6, every byte verified; beside
// them new ones, so that a SYN meets every takeover too. After each round the kernel of the clients must show the same sockets as in
// the beginning: a connection that was quietly opened anew is not the same.
import type { Clients } from '../lab/clients/controller.ts';
import type { ClientSpec, ConnectionAge, Incident, RecordsReport, Sample, WindowReport } from '../lab/clients/protocol.ts';
import { type CampaignOptions, runCampaign } from './campaign.ts';
import { type Clock, systemClock } from './clock.ts';
import type { LabControl } from './lab-control.ts';
import type { Report } from './report.ts';
import type { RoundPlan } from './round.ts';
import { distribution, longestStalls } from './statistics.ts';

/** Soon after duplex, and late in an interval. */
const LEAD_MS = { least: 20, most: 2500 };

const MiB = 1024 * 1024;

/** Each is one connection for ever, but `short`. */
export function stayingClients(): ClientSpec[] {
  return ([4, 6] as const).flatMap((family): ClientSpec[] => [
    // One file that lasts for the whole campaign.
    { kind: 'download', family, bytes: 2 ** 34, rateBytesPerS: 300_000 },
    // Body after body on one connection, each with its SHA-256.
    { kind: 'upload', family, bytes: MiB, rateBytesPerS: 300_000, chunked: family === 6 },
    { kind: 'echoTcp', family, everyMs: 20 },
    { kind: 'record', family, everyMs: 100 },
    { kind: 'short', family, everyMs: 150, bytes: 2000 },
    { kind: 'echoUdp', family, everyMs: 50 },
  ]);
}

const LASTING = stayingClients().filter(({ kind }) => kind !== 'short' && kind !== 'echoUdp').length;

export function takeoversPlan(count: number): RoundPlan[] {
  if (!Number.isInteger(count) || count < 1) throw new Error(`the number of takeovers must be a whole number from 1, not ${count}`);
  return Array.from({ length: count }, (_, i) => ({ round: i + 1, action: 'powerOffPrimary', phase: null }));
}

/** Of /proc/net/tcp and tcp6: "local remote" of every established connection. */
export function establishedIn(table: string): Set<string> {
  const established = new Set<string>();
  for (const line of table.split('\n')) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (state === '01' && local && remote) established.add(`${local} ${remote}`);
  }
  return established;
}

/** Longer than a short connection lives; and how long all may take to be established on a busy machine. */
const LOOK_EVERY_MS = 1000;
const ESTABLISHED_WITHIN_MS = 60_000;

/** How many of the connections of the beginning are still there. */
class Sockets {
  readonly #lab: LabControl;
  readonly #clock: Clock;
  #first: Set<string> | null = null;

  constructor(lab: LabControl, clock: Clock) {
    this.#lab = lab;
    this.#clock = clock;
  }

  /** Waits until all lasting connections are established: what two looks in a row have in common. */
  async noteFirst(): Promise<void> {
    if (this.#first !== null) return;
    const deadline = this.#clock.now() + ESTABLISHED_WITHIN_MS;
    let before = await this.#read();
    for (;;) {
      await this.#clock.sleep(LOOK_EVERY_MS);
      const now = await this.#read();
      const both = new Set([...now].filter((socket) => before.has(socket)));
      if (both.size >= LASTING) {
        this.#first = both;
        return;
      }
      if (this.#clock.now() > deadline)
        throw new Error(`only ${both.size} of ${LASTING} connections are established after ${ESTABLISHED_WITHIN_MS / 1000} s`);
      before = now;
    }
  }

  async lasting(): Promise<number> {
    const now = await this.#read();
    return [...(this.#first ?? [])].filter((socket) => now.has(socket)).length;
  }

  async #read(): Promise<Set<string>> {
    const { status, stdout, stderr } = await this.#lab.execLan(['cat', '/proc/net/tcp', '/proc/net/tcp6']);
    if (status !== 0) throw new Error(`the sockets of the clients could not be read: ${stderr.trim()}`);
    return establishedIn(stdout);
  }
}

/** The campaign's clients, with a crowd of our own; and what each kind saw between the fault and the repair. */
class StayingClients implements Clients {
  readonly #inner: Clients;
  readonly #sockets: Sockets;
  readonly faultWindows: WindowReport[] = [];
  #round = 0;

  constructor(inner: Clients, sockets: Sockets) {
    this.#inner = inner;
    this.#sockets = sockets;
  }

  get samples(): readonly Sample[] {
    return this.#inner.samples;
  }
  get incidents(): readonly Incident[] {
    return this.#inner.incidents;
  }
  open(): Promise<void> {
    return this.#inner.open(stayingClients());
  }
  takeover(at: number): Promise<void> {
    return this.#inner.takeover(at);
  }
  ages(): Promise<ConnectionAge[]> {
    return this.#inner.ages();
  }
  retire(cohort: string): Promise<ConnectionAge[]> {
    return this.#inner.retire(cohort);
  }
  async mark(label: string): Promise<WindowReport> {
    await this.#sockets.noteFirst();
    const window = await this.#inner.mark(label);
    if (/^round \d+ fault$/.test(window.label)) this.faultWindows[this.#round++] = window;
    return window;
  }
  verifyRecords(): Promise<RecordsReport> {
    return this.#inner.verifyRecords();
  }
  acknowledged(): Promise<number[]> {
    return this.#inner.acknowledged();
  }
  stop(): Promise<void> {
    return this.#inner.stop();
  }
  close(): Promise<void> {
    return this.#inner.close();
  }
}

export interface TakeoversOptions extends Omit<CampaignOptions, 'name' | 'plan'> {
  count: number;
}

export interface TakeoversReport extends Report {
  /** Per kind of client: the longest time without progress from the fault (detection included) to the repair, over the rounds. */
  takeoverStallMs: Partial<Record<string, ReturnType<typeof distribution>>>;
}

export async function runTakeovers(options: TakeoversOptions): Promise<TakeoversReport> {
  const { count, clients, lab, onRound, ...rest } = options;
  const sockets = new Sockets(lab, options.clock ?? systemClock);
  const staying = new StayingClients(clients, sockets);
  const report = await runCampaign({
    leadMs: LEAD_MS,
    settleMs: 0,
    ...rest,
    lab,
    clients: staying,
    name: `one connection through ${count} takeovers`,
    plan: takeoversPlan(count),
    onRound: async (round, soFar) => {
      const lasting = await sockets.lasting();
      if (lasting < LASTING) round.problems.push(`${lasting} of ${LASTING} connections are the ones of the beginning`);
      else round.remarks.push(`${lasting} connections are the ones of the beginning`);
      const window = staying.faultWindows[round.round - 1];
      if (window) round.remarks.push(`stall at the takeover, ms: ${JSON.stringify(longestStalls([window]))}`);
      await onRound?.(round, soFar);
    },
  });
  const takeoverStallMs: TakeoversReport['takeoverStallMs'] = {};
  const stalls = staying.faultWindows.map((window) => longestStalls([window]));
  for (const { kind } of stayingClients()) takeoverStallMs[kind] = distribution(stalls.flatMap((s) => s[kind] ?? []));
  return { ...report, takeoverStallMs };
}

/** The stalls as a table of text, for a terminal. */
export function stallTable({ takeoverStallMs }: TakeoversReport): string {
  const cell = (value: number | string): string => String(typeof value === 'number' ? Math.round(value) : value).padStart(9);
  return [
    `  ${'at the takeover, ms'.padEnd(22)}${['count', 'p50', 'p99', 'max'].map(cell).join('')}`,
    ...Object.entries(takeoverStallMs).map(
      ([kind, d]) => `  ${kind.padEnd(22)}${d ? [d.count, d.p50, d.p99, d.max].map(cell).join('') : ''}`,
    ),
  ].join('\n');
}
