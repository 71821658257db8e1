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

interface Looked {
  version: string;
  trial: unknown;
  pair: { target: string; state: string; text: string } | null;
}

type Both = Record<CoServerName, Looked | null>;

export async function updatePair(parts: PairUpdateParts): Promise<void> {
  const { report, built, tools, key } = parts;
  report.begin(`the pair is updated to ${NEW}`);
  const ended = await begin(parts, NEW, updateOf(otherVersion(built, NEW, tools), key));
  const both = await ended((b) => CO_SERVERS.every((name) => b[name]?.version === NEW && b[name].trial === null && isOver(b[name], NEW)));
  if (both.A?.pair?.state !== 'done') throw new LabError(`the update ended otherwise: ${both.A?.pair?.text ?? 'nothing is told of it'}`);
}

/** The one that tries it first finds its root damaged, goes back by itself, and both stop. */
export async function leavePair(parts: PairUpdateParts): Promise<void> {
  const { report, built, tools, key } = parts;
  report.begin(`an update to ${BAD} that does not start`);
  const bad = otherVersion(built, BAD, tools);
  const ended = await begin(parts, BAD, updateOf(bad, key, damaged(bad.slot)));
  const both = await ended((b) => CO_SERVERS.every((name) => b[name]?.version === NEW && isOver(b[name], BAD)));
  for (const name of CO_SERVERS)
    if (both[name]?.pair?.state !== 'stopped')
      throw new LabError(`${name} did not stop: ${both[name]?.pair?.text ?? 'nothing is told of it'}`);
}

const isOver = (side: Looked | null, target: string) =>
  side?.pair?.target === target && (side.pair.state === 'done' || side.pair.state === 'stopped');

async function begin({ twins, report, append, patienceS }: PairUpdateParts, target: string, update: Buffer) {
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
  return async (isEnd: (both: Both) => boolean): Promise<Both> => {
    const told = new Set<string>();
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
      const now = await append(1);
      if (now.starts !== before.starts) throw new LabError(`the guest was started ${now.starts - before.starts} times meanwhile`);
      if (isEnd(both)) {
        await twins.until('the pair is whole', (pictures) => (isDuplex(pictures) ? true : null), patienceS);
        report.figure(`the update to ${target} is over, and the pair is whole`, since());
        report.note(`the guest ran on; it has all ${now.records} records`);
        return both;
      }
      if (since() > patienceS) throw new LabError(`the update to ${target} is not over after ${patienceS} s: ${JSON.stringify(both)}`);
    }
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
