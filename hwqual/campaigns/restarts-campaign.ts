// Our process ended and started again, again and again, under a guest that writes: asked to end, as an update does, or killed without a
// last word; where the guest runs, and on the other CoServer. Nobody may see an error, and nothing that was acknowledged may be lost.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Clients } from '../lab/clients/controller.ts';
import type { ClientSpec, RecordsReport } from '../lab/clients/protocol.ts';
import type { Clock } from './clock.ts';
import type { CopiesComparison, LabControl } from './lab-control.ts';
import { partnerOf, primaryOf } from './pair-picture.ts';
import type { Distribution } from './report.ts';
import { distribution } from './statistics.ts';

/** One connection for ever each: a guest that restarted would have broken them. */
const CLIENTS: readonly ClientSpec[] = [
  { kind: 'record', family: 4, everyMs: 10 },
  { kind: 'record', family: 6, everyMs: 30 },
  { kind: 'echoTcp', family: 4, everyMs: 20 },
];
const RESTARTED_WITHIN_MS = 60_000;
const DUPLEX_WITHIN_S = 180;
const LOOK_EVERY_MS = 100;
/** After duplex, so that what still stands still is seen in this trial. */
const SETTLE_MS = 1_500;
/** Ended at any moment of a write. */
const LEAD_MS = 400;

export const WAYS = ['primary asked', 'primary killed', 'other asked', 'other killed'] as const;
export type Way = (typeof WAYS)[number];

export interface RestartTrial {
  trial: number;
  way: Way;
  coServer: CoServerName;
  /** Who ran the guest before and after. */
  before: CoServerName;
  after: CoServerName;
  /** The longest time without progress of any client. */
  recordGapMs: number;
  echoGapMs: number;
  duplexMs: number;
  problems: string[];
}

export interface RestartsReport {
  trials: RestartTrial[];
  records: RecordsReport;
  copies: CopiesComparison;
  ok: boolean;
}

export async function runRestarts(a: {
  count: number;
  ways: readonly Way[];
  lab: LabControl;
  clients: Clients;
  clock: Clock;
  onTrial?: (trial: RestartTrial) => void;
}): Promise<RestartsReport> {
  const { lab, clients, clock } = a;
  const trials: RestartTrial[] = [];
  await lab.waitDuplex(DUPLEX_WITHIN_S);
  await clients.open(CLIENTS);
  for (let trial = 1; trial <= a.count; trial++) {
    const way = a.ways[(trial - 1) % a.ways.length] ?? 'primary asked';
    const result = await restartOnce(trial, way, lab, clients, clock);
    trials.push(result);
    a.onTrial?.(result);
  }
  const records = await clients.verifyRecords();
  await clients.stop();
  await lab.shutdownGuest();
  const copies = await lab.compareCopies();
  const ok = trials.every((t) => t.problems.length === 0) && records.lostCount === 0 && copies.identical;
  return { trials, records, copies, ok };
}

async function restartOnce(trial: number, way: Way, lab: LabControl, clients: Clients, clock: Clock): Promise<RestartTrial> {
  const { restartProcess } = lab;
  if (!restartProcess) throw new Error('this pair cannot restart our process alone');
  const status = await lab.status();
  const before = primaryOf(status);
  if (before === null) throw new Error(`trial ${trial}: no CoServer says that it runs the guest`);
  const coServer = way.startsWith('primary') ? before : partnerOf(before);
  const incidents = clients.incidents.length;
  await clients.mark(`trial ${trial}`);
  await clock.sleep(clock.random() * LEAD_MS);
  const orderedAt = clock.now();
  await restartProcess(coServer, way.endsWith('asked') ? 'asked' : 'killed');
  await restarted(lab, clock, coServer, orderedAt);
  await lab.waitDuplex(DUPLEX_WITHIN_S);
  const duplexMs = clock.now() - orderedAt;
  const gaps = await stoodStill(clients, clock);
  const after = primaryOf(await lab.status());
  const problems = clients.incidents.slice(incidents).map((i) => `${i.kind} ${i.what}: ${i.text}`);
  return {
    trial,
    way,
    coServer,
    before,
    after: after ?? before,
    ...gaps,
    duplexMs,
    problems,
  };
}

/** Until writes are answered again: what stands still for longer belongs to this trial. */
async function stoodStill(clients: Clients, clock: Clock): Promise<Pick<RestartTrial, 'recordGapMs' | 'echoGapMs'>> {
  const gaps = { recordGapMs: 0, echoGapMs: 0 };
  for (;;) {
    await clock.sleep(SETTLE_MS);
    const { kinds } = await clients.mark('between');
    gaps.recordGapMs = Math.max(gaps.recordGapMs, kinds.record?.stallMs ?? 0);
    gaps.echoGapMs = Math.max(gaps.echoGapMs, kinds.echoTcp?.stallMs ?? 0);
    // A window in which nothing stood still for long.
    if (kinds.record && kinds.record.operations > 0 && kinds.record.stallMs < SETTLE_MS) return gaps;
    if (gaps.recordGapMs > RESTARTED_WITHIN_MS) throw new Error(`writes stand still for ${Math.round(gaps.recordGapMs / 1000)} s`);
  }
}

/** A process that is younger than the order answers. */
async function restarted(lab: LabControl, clock: Clock, coServer: CoServerName, orderedAt: number): Promise<void> {
  for (;;) {
    const picture = (await lab.status())[coServer];
    const sinceMs = clock.now() - orderedAt;
    if (picture && picture.uptimeMs < sinceMs) return;
    if (sinceMs > RESTARTED_WITHIN_MS) throw new Error(`our process on ${coServer} is not back after ${RESTARTED_WITHIN_MS / 1000} s`);
    await clock.sleep(LOOK_EVERY_MS);
  }
}

export function restartsTable({ trials, records, copies }: RestartsReport): string {
  const cell = (value: number | string): string => String(typeof value === 'number' ? Math.round(value) : value).padStart(9);
  const row = (name: string, d: Distribution) => `  ${name.padEnd(34)}${[d.count, d.p50, d.p99, d.max].map(cell).join('')}`;
  const rows = WAYS.flatMap((way) => {
    const these = trials.filter((t) => t.way === way);
    if (these.length === 0) return [];
    return [
      row(`${way}: writes stand still`, distribution(these.map((t) => t.recordGapMs))),
      row('  echo stands still', distribution(these.map((t) => t.echoGapMs))),
      row('  until duplex again', distribution(these.map((t) => t.duplexMs))),
    ];
  });
  return [
    `  ${'our process restarted, ms'.padEnd(34)}${['count', 'p50', 'p99', 'max'].map(cell).join('')}`,
    ...rows,
    `  records acknowledged ${records.acknowledged}, on the disk ${records.onDisk}, lost ${records.lostCount}; copies: ${copies.detail}`,
    `  trials with a problem: ${trials.filter((t) => t.problems.length > 0).length}`,
  ].join('\n');
}
