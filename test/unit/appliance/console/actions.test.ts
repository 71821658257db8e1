import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { actionGroups, actionModels, whyNotTyped } from '../../../../appliance/console/action-views.ts';
import { ROWS, rowText } from '../../../../appliance/console/decision-rows.ts';
import { consoleModel } from '../../../../appliance/console/model.ts';
import { ACTIONS } from '../../../../appliance/core/requests.ts';
import type { ActionView, Snapshot } from '../../../../appliance/core/snapshot.ts';
import { diverged, duplex, holding, takeoverJustHappened, troubled } from './fixtures.ts';
import { lockstep } from './lockstep-fixtures.ts';

/** All actions of the core, those named possible. */
function offered(...possible: string[]): Pick<Snapshot, 'actions' | 'lockstep'> {
  return {
    actions: ACTIONS.map((a): ActionView => ({ ...a, allowed: possible.includes(a.name), reason: possible.includes(a.name) ? '' : 'No.' })),
    lockstep: lockstep().lockstep,
  };
}

const shown = (s: Pick<Snapshot, 'actions' | 'lockstep'>, emergency = false) =>
  actionGroups(actionModels(s), emergency).map((g) => [g.group, g.actions.map((a) => `${a.number ?? '-'} ${a.name}`)]);

t.test('in groups, the possible ones numbered, what says nothing left out, the emergency last and only when it is possible', async (t) => {
  t.strictSame(shown(offered('shutdown-guest', 'move-workload', 'enter-maintenance', 'pin-passive')), [
    ['guest', ['1 shutdown-guest', '2 move-workload']],
    ['maintenance', ['3 enter-maintenance']],
    ['mode', ['- pin-lockstep', '4 pin-passive']],
  ]);
  t.strictSame(shown(offered('start-guest', 'end-maintenance', 'let-rejoin', 'force-start')), [
    ['guest', ['1 start-guest', '- move-workload']],
    ['maintenance', ['- enter-maintenance', '2 end-maintenance', '3 let-rejoin']],
    ['mode', ['- pin-lockstep', '- pin-passive']],
    ['emergency', ['4 force-start']],
  ]);
  t.strictSame(shown(offered(), true).at(-1), ['emergency', ['- force-start', '- force-older-copy', '- give-up-history']]);
  t.strictSame(
    shown({ ...offered(), lockstep: null }).map(([group]) => group),
    ['guest', 'maintenance'],
    'one replica: there is no mode to choose',
  );
  t.ok(actionModels(offered(...ACTIONS.map((a) => a.name))).length === ACTIONS.length, 'each action has a group');
  t.notOk(
    actionModels(offered()).some((a) => a.group === 'other'),
    'each action of the core has its own group',
  );
  t.strictSame(shown({ actions: [{ name: 'unheard-of', label: 'X', allowed: true, reason: '' }], lockstep: null }), [
    ['other', ['1 unheard-of']],
  ]);
});

t.test('an action that can lose data needs its word, to the letter', async (t) => {
  for (const { name, label, typed } of ACTIONS) {
    if (!typed) {
      t.equal(whyNotTyped({ label }, ''), null, name);
      continue;
    }
    t.equal(whyNotTyped({ label, typed }, typed.word), null, name);
    for (const given of ['', ' ', typed.word.toUpperCase(), `${typed.word} `, 'y'])
      t.match(whyNotTyped({ label, typed }, given), `needs the word '${typed.word}'`, `${name}: '${given}'`);
  }
  t.notMatch(whyNotTyped({ label: 'x', typed: { word: 'w', meaning: '' } }, 'a\u001b[2J'.repeat(50)), '\u001b');
});

t.test('a standstill takes the place of the redundancy; the way out stands beside it', async (t) => {
  const frozen = consoleModel(holding());
  t.match(frozen.headline, { word: 'FROZEN', tone: 'critical', sentence: /^The partner is lost/ });
  t.match(frozen.attention, [
    { tone: 'critical', row: /row 7w/, ends: 'Ends by itself when CoServer B is heard again, or when the witness answers.' },
  ]);
  t.match(frozen.attention[0]?.ways[1]?.action, { name: 'force-start', number: 1, typed: { word: 'force' } });
  t.match(consoleModel(diverged()), {
    headline: { word: 'TWO HISTORIES' },
    attention: [{ ends: '', ways: [{ action: { name: 'give-up-history' } }, {}] }],
  });
  t.match(consoleModel({ ...diverged(), redundancy: 'simplex', workload: { ...duplex().workload, state: 'running' } }).headline, {
    word: 'TWO HISTORIES',
    tone: 'critical',
  });
  const both = { ...duplex(), coServers: duplex().coServers.map((c) => ({ ...c, role: 'primary' as const })) };
  t.match(consoleModel(both).workload.facts[0], { value: 'A and B, no replica', tone: 'warning' });
  const held = { ...holding(), coServers: holding().coServers.map((c) => ({ ...c, role: 'secondary' as const })) };
  t.match(consoleModel(held).coServers[0], { part: 'held, may not take over yet', tone: 'critical' });
  const m = consoleModel(troubled());
  t.equal(m.headline.word, 'SIMPLEX', 'the workload runs');
  t.match(m.attention[0], { ends: 'Ends by itself when the time is over (in 1 h 59 min).' });
  t.match(m.coServers[0]?.facts[0], { label: 'Power', value: 'on battery', tone: 'warning' });
  t.match(m.coServers[1], { part: 'out for maintenance', facts: [{ label: 'Taken out' }] });
  t.strictSame(consoleModel(duplex()).attention, []);
});

t.test('the arbiter in words: both sides, since when, why not', async (t) => {
  t.match(consoleModel(duplex()).arbiter, {
    word: 'the witness',
    tone: 'good',
    facts: [{ value: 'usable, on B too' }, { value: 'not configured' }],
  });
  const { arbiter } = troubled();
  t.match(consoleModel({ ...troubled(), arbiter: { ...arbiter, applies: true } }).arbiter, {
    word: 'CoServer A alone goes on',
    tone: 'warning',
    sentence: /Both are changing over to fencing\.$/,
    facts: [
      { value: 'not usable for 1 min 01 s (it has lost its memory), on B too', tone: 'warning' },
      { value: 'proven, but not proven on B', tone: 'warning' },
    ],
  });
  t.match(consoleModel(takeoverJustHappened()).arbiter, { word: 'none needed now', tone: 'info' });

  const proven = { configured: true, proven: true, reason: '', sinceMs: 1000 };
  const fencing = { ...duplex().arbiter, kind: 'fence' as const, fencePath: proven, partnerFencePath: true };
  const lost = { configured: true, usable: false, reason: 'no answer', sinceMs: 9000 };
  const none = { configured: false, usable: false, reason: 'not configured', sinceMs: 9000 };
  const toneWith = (witness: typeof lost) => consoleModel({ ...duplex(), arbiter: { ...fencing, witness } }).arbiter.tone;
  t.equal(toneWith(lost), 'warning', 'a lost witness stays a warning also while fencing stands in for it');
  t.equal(toneWith(none), 'good', 'a pair without a witness lacks nothing');
});

t.test('what was known stands with the event, bounded and harmless', async (t) => {
  const [entry] = takeoverJustHappened().timeline.filter((e) => e.evidence);
  if (!entry) throw new Error('evidence');
  const known = (evidence: string[]) => consoleModel({ ...duplex(), timeline: [{ ...entry, evidence }] }).events[0]?.evidence;
  t.match(known(['cause: witness: granted', 'no label', 'links: a\u001b[2J']), [
    { label: 'cause', value: 'witness: granted' },
    { label: '', value: 'no label' },
    { label: 'links', value: 'a?[2J' },
  ]);
  t.ok((known(Array.from({ length: 1000 }, (_, i) => `x: ${i}`)) ?? []).length <= 16);
});

t.test('every row of the table, and every row that the core applies, has its situation', async (t) => {
  const wanted = [...Array.from({ length: 31 }, (_, i) => String(i + 1)), '6n', '7w'];
  t.strictSame(Object.keys(ROWS).sort(), wanted.sort());
  const core = join(import.meta.dirname, '../../../../appliance/core');
  const applied = readdirSync(core).flatMap((name) =>
    name.endsWith('.ts') ? [...readFileSync(join(core, name), 'utf8').matchAll(/'(\d{1,2}[nw]?)'/g)].map((m) => m[1] ?? '') : [],
  );
  t.ok(applied.length > 20);
  for (const row of applied) t.match(rowText(row), /^row \w+: ./);
});
