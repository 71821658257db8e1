// The pair is updated to a version with another engine (other-engine.ts says what that is): asked first on both consoles, the word given on the
// other one than where it was begun; both processes step down to protection level 2 under the guest, the move restarts it once, and both go
// back to level 3. A client writes records all the time.
import type { Snapshot } from '../../../appliance/core/snapshot.ts';
import { isDuplex } from '../../campaigns/pair-picture.ts';
import { LabError } from '../lab-error.ts';
import { CO_SERVERS } from '../settings.ts';
import { type Both, begin, isOver, type PairUpdateParts, runs } from './pair-update.ts';
import type { Pictures } from './twins.ts';
import { updateOf } from './update-tale.ts';
import type { Version } from './versions.ts';

/** A key that was pressed while the console was busy is pressed again. */
const AGAIN_S = 30;
/** While it waits for the operator's word nothing happens: looked at so often, with a record each time. */
const LOOKS_WHILE_ASKED = 5;
/** What the operator is told before anything begins. */
const TOLD = /brings engine (\S+), here runs (\S+): the pair runs at protection level 2 meanwhile, and the guest is restarted once/;
const RESTARTS = 1;
/** Of the timelines: what an operator reads of levels, of the two that do not fit, and of the guest. */
const TOLD_MEANWHILE = /level|lockstep|guest|replicas/;

export interface EngineTaleParts extends PairUpdateParts {
  /** What it is updated to (other-engine.ts). */
  version: Version;
  /** The screens of both serial consoles go into the report. */
  keep(file: string, what: string): void;
}

export async function changeEngine(parts: EngineTaleParts): Promise<void> {
  const { report, twins, built, version: update, key, keep, patienceS } = parts;
  const { version, engine } = update;
  report.begin(`the pair is updated to ${version}, which brings engine ${engine}`);
  const followed = await begin(parts, version, updateOf(update, key));

  const asks = (both: Both) => CO_SERVERS.every((name) => both[name]?.pair?.asksRestartGuest === true);
  const asked = await followed.until('both ask for the word', asks);
  for (const name of CO_SERVERS) {
    const said = TOLD.exec(asked[name]?.pair?.text ?? '');
    if (said?.[1] !== engine) throw new LabError(`${name} does not say what it asks for: ${asked[name]?.pair?.text ?? ''}`);
  }
  // On the page of the software; the first one is shown again.
  for (const name of CO_SERVERS) await twins.persons[name].typesUntil('9', /waits for a decision/, patienceS, AGAIN_S);
  keep('asks', 'while it waits for the word');
  for (const name of CO_SERVERS) twins.persons[name].type('1');
  for (let i = 0; i < LOOKS_WHILE_ASKED; i++) {
    const still = await followed.until('nothing happens', () => true);
    if (!asks(still) || CO_SERVERS.some((name) => still[name]?.version !== built.version))
      throw new LabError('it does not wait for the word');
  }
  const answer = await followed.consoles.B.post('/api/update/pair', { action: 'allowRestart' });
  if (answer.status !== 200) throw new LabError(`the word is not taken on B: ${JSON.stringify(answer.body)}`);
  report.note('the word is given on B');

  const seen = new Levels();
  const done = (both: Both) => CO_SERVERS.every((name) => runs(both[name], version) && isOver(both[name], version));
  const both = await followed.until(
    'both run it',
    async (now) => {
      seen.look(await twins.pictures(), (text) => report.note(text));
      return done(now);
    },
    RESTARTS,
  );
  for (const name of CO_SERVERS) {
    const { pair, engine: found } = both[name] ?? {};
    if (pair?.state !== 'done') throw new LabError(`${name}: the update ended otherwise: ${pair?.text ?? ''}`);
    if (found !== engine) throw new LabError(`${name} runs engine ${found}, not ${engine}`);
  }
  await followed.isWhole(RESTARTS);
  const pictures = await twins.until(
    'both are at level 3',
    (now) => (isDuplex(now) && CO_SERVERS.every((name) => now[name]?.workload.level === 'faultTolerant') ? now : null),
    patienceS,
  );
  seen.look(pictures, (text) => report.note(text));
  seen.check();
  keep('engines', 'after the update');
}

/** At which protection levels the pair was whole, as both consoles told it, and what they said of it. */
class Levels {
  readonly #told = new Set<string>();
  readonly #levels = new Set<string>();

  look(pictures: Pictures, say: (text: string) => void): void {
    for (const name of CO_SERVERS) {
      const picture = pictures[name];
      if (picture === null) continue;
      for (const { text } of picture.timeline.filter(({ text }) => TOLD_MEANWHILE.test(text))) this.#once(`${name}: ${text}`, say);
      if (picture.redundancy === 'duplex') this.#levels.add(`${name} ${levelOf(picture)}`);
    }
    if (isDuplex(pictures)) this.#once(`whole at ${CO_SERVERS.map((name) => `${name} ${pictures[name]?.workload.level}`).join(', ')}`, say);
  }

  /** Throws unless each console told of level 2. */
  check(): void {
    for (const name of CO_SERVERS) {
      if (!this.#levels.has(`${name} highlyAvailable`)) throw new LabError(`${name} never said that it is whole at level 2`);
      if (![...this.#told].some((line) => line.startsWith(`${name}: `) && /protection level 2/.test(line)))
        throw new LabError(`the timeline of ${name} does not tell of level 2`);
    }
  }

  #once(line: string, say: (text: string) => void): void {
    if (!this.#told.has(line)) say(line);
    this.#told.add(line);
  }
}

const levelOf = ({ workload }: Snapshot): string => workload.level;
