// A journal replays to the same commands; what power failures, bad disks and other releases do to it is named.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Command, DEFAULT_TIMING, initialState, type State, type StateOptions } from '../../../../appliance/core/machine.ts';
import { Journal } from '../../../../appliance/runtime/journal.ts';
import { LineFile } from '../../../../appliance/runtime/line-file.ts';
import { readJournal, stateDigest, UnknownJournal } from '../../../../appliance/runtime/replay/journal-codec.ts';
import { replay } from '../../../../appliance/runtime/replay/replay.ts';
import { parseStory } from '../../../scenarios/language.ts';
import type { Fact } from '../../../scenarios/pair.ts';
import { play } from '../../../scenarios/run.ts';

const RECORDED = join(import.meta.dirname, 'testdata');
const OPTIONS = { version: '1', verbose: false, until: null };

/** A's part of a story in which it is primary, loses power, and is made equal again. */
function stepsOfA(): Exclude<Fact, { said: string }>[] {
  const sentences =
    'arbiters: witness and fence\nstart new\n30 s pass\n8 min pass\nlink 1 is cut\n5 s pass\nthe witness is unreachable from both\n10 s pass\nB loses power\n50 s pass';
  const { facts } = play(parseStory(`Row 5. Any.\n\n${sentences}\n----\n`));
  return facts.flatMap((f) => ('said' in f || f.side !== 'A' ? [] : [f]));
}

const steps = stepsOfA();
const first = steps[0]?.before as State;
const LIFE: StateOptions = {
  me: 'A',
  incarnation: first.incarnation,
  pairId: first.pairId,
  version: first.version,
  record: first.record,
  links: 2,
  now: first.now,
  adoptable: false,
  canCompare: true,
  arbiters: { witness: true, fence: true },
  timing: DEFAULT_TIMING,
};

/** The journal of these steps, as the product writes it. */
async function written(t: Test, limitBytes?: number): Promise<{ folder: string; text: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-journal-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = new LineFile(join(folder, 'events.jsonl'), limitBytes);
  const journal = new Journal(file, '1', LIFE);
  for (const step of steps) {
    journal.log(step);
    // So that a file that is full is noticed between two lines.
    if (limitBytes !== undefined) await file.settled();
  }
  await file.settled();
  return { folder, text: readFileSync(join(folder, 'events.jsonl'), 'utf8') };
}

t.test('the state begins as its options say', async (t) => {
  t.equal(stateDigest(initialState(LIFE)), stateDigest(first));
});

t.test('the same commands and states, without the ticks that changed nothing', async (t) => {
  const { text } = await written(t);
  const r = replay(readJournal(text), OPTIONS);
  t.same([r.difference, r.statesDiffer, r.damage], [null, null, []]);
  t.equal(r.lives, 1);
  t.ok(r.events < steps.length / 2, `${r.events} of ${steps.length} steps are in it`);
  t.ok(r.statesCompared > 10, `${r.statesCompared} states compared`);
  const last = steps.at(-1)?.after as State;
  t.equal(r.state && stateDigest(r.state), stateDigest(last), 'also where ticks were left out');
  t.ok(
    r.story.some((line) => line.includes('Runs on alone as generation 2')),
    'told in words',
  );
});

t.test('each file of a journal that was set aside replays by itself', async (t) => {
  const { folder, text } = await written(t, 40_000);
  t.ok(readdirSync(folder).includes('events.jsonl.1'), 'set aside');
  const r = replay(readJournal(text), OPTIONS);
  t.same([r.difference, r.damage], [null, []]);
  t.match(r.story[0], /goes on after event \d+/);
  const last = steps.at(-1)?.after as State;
  t.equal(r.state && stateDigest(r.state), stateDigest(last));
});

t.test('whole states of an earlier build, which lack what was added since', async (t) => {
  const { text } = await written(t);
  const older = text.replaceAll('"pastIncarnations":[],', '');
  t.not(older, text);
  const whole = replay(readJournal(older), OPTIONS);
  t.equal(whole.difference, null);
  t.type(whole.statesDiffer, 'string', 'named');
  const lines = older.split('\n');
  const from = lines.findIndex((line, i) => i > 0 && line.includes('"journal"'));
  t.equal(replay(readJournal(lines.slice(from).join('\n')), OPTIONS).difference, null, 'also from there on alone');
});

t.test('the first difference ends it, with both sides', async (t) => {
  const { text } = await written(t);
  const other = text.replace(/claim:[0-9a-f]{6}/, 'claim:000000');
  const r = replay(readJournal(other), OPTIONS);
  t.match(r.difference?.join('\n'), /recorded: .*claim:000000.*\nreplayed: .*claim:(?!000000)/s);
  t.match(r.difference?.join('\n'), /what comes out now: \{"kind":"claim","generation":0\}/);
  t.ok(r.events < replay(readJournal(text), OPTIONS).events);
});

t.test('a state that differs under the same commands is named, and no difference', async (t) => {
  const { text } = await written(t);
  const r = replay(readJournal(text.replace(/"state":"[0-9a-f]{8}"/, '"state":"00000000"')), OPTIONS);
  t.equal(r.difference, null);
  t.match(r.statesDiffer, /^line \d+, event \d+/);
});

t.test('until an event', async (t) => {
  const { text } = await written(t);
  const r = replay(readJournal(text), { ...OPTIONS, until: 5 });
  t.equal(r.events, 5);
  t.equal(r.state?.me, 'A');
});

t.test('a torn tail is named, and the life after it begins on its own line', async (t) => {
  const { folder, text } = await written(t);
  const path = join(folder, 'events.jsonl');
  writeFileSync(path, `${text.slice(0, -40)}${'\0'.repeat(64)}`);
  const again = new LineFile(path);
  const journal = new Journal(again, '1', LIFE);
  for (const step of steps.slice(0, 50)) journal.log(step);
  await again.settled();
  const r = replay(readJournal(readFileSync(path, 'utf8')), OPTIONS);
  t.equal(r.difference, null);
  t.equal(r.lives, 2);
  t.match(r.damage, [/64 bytes of zeros/, /torn or overwritten/]);
});

t.test('a damaged line in the middle: what depends on it is left out, until the next whole state', async (t) => {
  const { text } = await written(t);
  const lines = text.trimEnd().split('\n');
  const whole = lines.findIndex((line, i) => i > 0 && line.includes('"journal"'));
  t.ok(whole > 60, 'there is a whole state on the way');
  lines[50] = lines[50]?.replace('"event"', '"ev') ?? '';
  const r = replay(readJournal(lines.join('\n')), OPTIONS);
  t.equal(r.difference, null);
  t.match(r.damage, [/line 51: torn or overwritten/, /line 52: event 51 follows 49/, /events are left out/]);
  t.ok(r.events > 50, 'and the rest is replayed');
  const last = steps.at(-1)?.after as State;
  t.equal(r.state && stateDigest(r.state), stateDigest(last));
});

t.test('a head that is missing is named', async (t) => {
  const { text } = await written(t);
  const r = replay(readJournal(text.split('\n').slice(3, 60).join('\n')), OPTIONS);
  t.equal(r.events, 0);
  t.match(r.damage, [/at the end: 57 events are left out/]);
});

t.test('another format is refused by name, another release is tried', async (t) => {
  const { text } = await written(t);
  t.throws(
    () => readJournal(text.replace('"journal":1', '"journal":7')),
    new UnknownJournal('line 1: journal format 7; this release reads format 1. Use the release that wrote it.'),
  );
  t.throws(() => readJournal(''), UnknownJournal);
  t.throws(() => readJournal('{"event":{"kind":"tick","at":1},"commands":[]}\n'), UnknownJournal, 'the journal of an earlier release');
  const r = replay(readJournal(text), { ...OPTIONS, version: '2' });
  t.match(r.story[0], /written by release 1, replayed by 2/);
  t.equal(r.difference, null);
});

t.test('an event at which the core throws is in the journal before the process ends', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-journal-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'events.jsonl');
  const journal = new Journal(new LineFile(path), '1', LIFE);
  const event = { at: first.now + 1, kind: 'noSuchEvent' };
  journal.threw(event as never, new Error(`unexpected ${JSON.stringify(event)}`));
  journal.threw({ at: 2, kind: 'tick' }, new Error('an assertion that this release does not have'));
  const lines = readJournal(readFileSync(path, 'utf8'));
  t.same(
    lines.map((l) => l.kind),
    ['head', 'event', 'event'],
  );
  const r = replay(lines, OPTIONS);
  t.match(r.story.join('\n'), /the core throws, as recorded: unexpected/);
  t.match(r.difference?.join('\n'), /recorded: threw an assertion that this release does not have\nreplayed: no commands/);
});

// Two journals of one pair in the lab: both reach duplex, a link is cut and mended, A loses its power (and with it what its disk had not
// written) and returns. After a change of what the core decides they are recorded anew.
for (const [name, damage] of [
  ['lab-survivor.jsonl', 0],
  ['lab-power-lost.jsonl', 3],
] as const)
  t.test(`recorded by the product: ${name}`, async (t) => {
    const text = readFileSync(join(RECORDED, name), 'utf8');
    const r = replay(readJournal(text), OPTIONS);
    t.equal(r.difference, null);
    t.ok(r.damage.length >= damage && (damage > 0 || r.damage.length === 0), r.damage.join('; '));
    t.ok(r.events > 30, `${r.events} events`);
    t.notMatch(text, /pairKey|password|"key"/i, 'no secrets');
  });

t.test('no command is mistaken for another', async (t) => {
  const kinds = new Set(steps.flatMap((s) => s.commands.map((c: Command) => c.kind)));
  t.ok(kinds.size >= 10, [...kinds].join(' '));
});
