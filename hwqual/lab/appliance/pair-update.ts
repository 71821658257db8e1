// The pair is updated as an operator does it: uploaded on one console, begun there, and watched on both, while a client writes records all the
// time. Once with a version that works, and once with one that does not start.
import type { KeyObject } from 'node:crypto';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { isDuplex } from '../../campaigns/pair-picture.ts';
import type { TinyStatus } from '../guest/tiny/client.ts';
import { LabError } from '../lab-error.ts';
import { ADDRESSES, CO_SERVERS } from '../settings.ts';
import type { PairReport } from './pair-report.ts';
import type { Twins } from './twins.ts';
import { updateOf } from './update-tale.ts';
import { damaged, otherVersion, type Version } from './versions.ts';
import { WebConsole } from './web-console.ts';

const WEB_PORT = 443;
/** A server that starts again answers nothing. */
const LOOK_TIMEOUT_MS = 60_000;
const NEW = '50.0.0';
const BAD = '60.0.0';

export interface PairUpdateParts {
  twins: Twins;
  report: PairReport;
  built: Version;
  tools: string;
  key: KeyObject;
  /** Acknowledged records of the guest. Throws when it has lost one. */
  append(count: number): Promise<TinyStatus>;
  patienceS: number;
}

export interface Looked {
  version: string;
  trial: unknown;
  engine: string;
  pair: { target: string; state: string; text: string; asksRestartGuest: boolean } | null;
}

export type Both = Record<CoServerName, Looked | null>;

/** An update that goes on, and its client. */
export interface Followed {
  consoles: Record<CoServerName, WebConsole>;
  /** Looks at both consoles and writes a record, again and again. Throws when the guest was started more often than `mayStart` times since it began. */
  until(what: string, isSo: (both: Both) => boolean | Promise<boolean>, mayStart?: number): Promise<Both>;
  /** The end: whole, and started exactly so often. */
  isWhole(starts: number): Promise<void>;
}

export async function updatePair(parts: PairUpdateParts): Promise<void> {
  const { report, built, tools, key } = parts;
  report.begin(`the pair is updated to ${NEW}`);
  const followed = await begin(parts, NEW, updateOf(otherVersion(built, NEW, tools), key));
  const both = await followed.until('both run it', (b) => CO_SERVERS.every((name) => runs(b[name], NEW) && isOver(b[name], NEW)));
  if (both.A?.pair?.state !== 'done') throw new LabError(`the update ended otherwise: ${both.A?.pair?.text ?? 'nothing is told of it'}`);
  await followed.isWhole(0);
}

/** The one that tries it first finds its root damaged, goes back by itself, and both stop. */
export async function leavePair(parts: PairUpdateParts): Promise<void> {
  const { report, built, tools, key } = parts;
  report.begin(`an update to ${BAD} that does not start`);
  const bad = otherVersion(built, BAD, tools);
  const followed = await begin(parts, BAD, updateOf(bad, key, damaged(bad.slot)));
  const both = await followed.until('both have stopped', (b) =>
    CO_SERVERS.every((name) => b[name]?.version === NEW && isOver(b[name], BAD)),
  );
  for (const name of CO_SERVERS)
    if (both[name]?.pair?.state !== 'stopped')
      throw new LabError(`${name} did not stop: ${both[name]?.pair?.text ?? 'nothing is told of it'}`);
  await followed.isWhole(0);
}

export const isOver = (side: Looked | null, target: string): boolean =>
  side?.pair?.target === target && (side.pair.state === 'done' || side.pair.state === 'stopped');

/** Found healthy. */
export const runs = (side: Looked | null, version: string): boolean => side?.version === version && side.trial === null;

/** Uploads it on A, and asks there for the update of both; nobody has said that the guest may be restarted. */
export async function begin({ twins, report, append, patienceS }: PairUpdateParts, target: string, update: Buffer): Promise<Followed> {
  const { password } = twins.secrets;
  const open = (name: CoServerName, answerTimeoutMs?: number) =>
    new WebConsole(WEB_PORT, password, { host: ADDRESSES.management[name], ...(answerTimeoutMs === undefined ? {} : { answerTimeoutMs }) });
  const before = await append(1);
  const fromMs = performance.now();
  const since = () => (performance.now() - fromMs) / 1000;
  const upload = open('A');
  await upload.open(patienceS);
  const taken = await upload.upload(update);
  if (taken.status !== 200) throw new LabError(`the update is not taken: ${JSON.stringify(taken.body)}`);
  report.figure(`A: ${(update.length / 2 ** 20).toFixed(0)} MiB uploaded and on its disk`, since());
  const begun = await upload.post('/api/update/pair', { action: 'start', mayRestartGuest: false });
  if (begun.status !== 200) throw new LabError(`the update of the pair does not begin: ${JSON.stringify(begun.body)}`);

  const consoles = { A: open('A', LOOK_TIMEOUT_MS), B: open('B', LOOK_TIMEOUT_MS) };
  const told = new Set<string>();
  let starts = before.starts;
  const record = async (mayStart: number): Promise<TinyStatus> => {
    const now = await append(1);
    if (now.starts !== starts) report.note(`${since().toFixed(0)} s: the guest was started; it has all ${now.records} records`);
    starts = now.starts;
    if (starts - before.starts > mayStart)
      throw new LabError(`the guest was started ${starts - before.starts} times meanwhile, not ${mayStart}`);
    return now;
  };
  return {
    consoles,
    until: async (what, isSo, mayStart = 0) => {
      const deadline = performance.now() + patienceS * 1000;
      for (;;) {
        const [A, B] = await Promise.all([look(consoles.A), look(consoles.B)]);
        const both = { A, B };
        for (const name of CO_SERVERS) {
          // Progress in figures is not told each time.
          const text = both[name]?.pair?.text ?? '';
          const kind = text.replace(/\d+(\.\d+)?/g, '#');
          if (text !== '' && !told.has(`${name} ${kind}`)) report.note(`${since().toFixed(0)} s, ${name}: ${text}`);
          told.add(`${name} ${kind}`);
        }
        await record(mayStart);
        if (await isSo(both)) return both;
        if (performance.now() > deadline) throw new LabError(`${what}: not within ${patienceS} s: ${JSON.stringify(both)}`);
      }
    },
    isWhole: async (mayStart) => {
      await twins.until('the pair is whole', (pictures) => (isDuplex(pictures) ? true : null), patienceS);
      report.figure(`the update to ${target} is over, and the pair is whole`, since());
      const now = await record(mayStart);
      const times = now.starts - before.starts;
      if (times !== mayStart) throw new LabError(`the guest was started ${times} times, not ${mayStart}`);
      report.note(`the guest was started ${times} times meanwhile; it has all ${now.records} records`);
    },
  };
}

/** Null: no answer. It asks for the password again after each start of the server. */
async function look(console: WebConsole): Promise<Looked | null> {
  const get = () => console.get('/api/update') as Promise<Record<string, unknown>>;
  const answer = await get()
    .catch(async () => {
      await console.open(0);
      return get();
    })
    .catch(() => null);
  return answer as Looked | null;
}
