// The screens themselves: one golden text per situation and page. After a change: UPDATE_GOLDEN=1, then read every difference.
import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import t from 'tap';
import { consoleModel } from '../../../../../appliance/console/model.ts';
import { freshDialog } from '../../../../../appliance/console/serial/dialog.ts';
import { frame } from '../../../../../appliance/console/serial/frame.ts';
import { ascii, columnChart, hanging, lineText, progressBar, timeBar, wrap } from '../../../../../appliance/console/serial/layout.ts';
import { PAGES, type Page } from '../../../../../appliance/console/serial/pages.ts';
import { changes, gridOf } from '../../../../../appliance/console/serial/screen.ts';
import { formOf, refusedForm } from '../../../../../appliance/console/settings-views.ts';
import { FIXTURES as PASSIVE_FIXTURES } from '../fixtures.ts';
import { HARDWARE_FIXTURES } from '../hardware-fixtures.ts';
import { LOCKSTEP_FIXTURES, unfit } from '../lockstep-fixtures.ts';
import { settings } from '../settings-fixtures.ts';
import { asking, known, onTrial, sending, stopped } from '../update-fixtures.ts';
import { Terminal } from './terminal.ts';

const FIXTURES = { ...PASSIVE_FIXTURES, ...LOCKSTEP_FIXTURES, ...HARDWARE_FIXTURES };

function screen(name: string, page: Page, evidence: string | null = null): Terminal {
  const make = FIXTURES[name];
  if (!make) throw new Error(name);
  const terminal = new Terminal();
  terminal.write(changes(null, gridOf(frame(consoleModel(make()), { ...freshDialog(0), page, evidence }).lines)));
  return terminal;
}

const GOLDEN: [string, Page][] = [
  ...Object.keys(FIXTURES).map((name): [string, Page] => [name, 'overview']),
  ['takeoverJustHappened', 'events'],
  ['takeoverJustHappened', 'takeover'],
  ['duplex', 'figures'],
  ['isolated', 'figures'],
  ['lockstep', 'mode'],
  ['unfit', 'mode'],
  ['unfit', 'incidents'],
  ['hardwareTroubled', 'hardware'],
  ['hardwareWell', 'hardware'],
  ['notWatched', 'hardware'],
];

t.test('golden screens', async (t) => {
  for (const [name, page] of GOLDEN) {
    const path = new URL(`golden/${name}-${page}.txt`, import.meta.url);
    const text = screen(name, page).text();
    if (process.env.UPDATE_GOLDEN) await writeFile(path, text);
    t.equal(text, await readFile(path, 'utf8'), `${name} ${page}`);
  }
  const path = new URL('golden/unfit-evidence.txt', import.meta.url);
  const text = screen('unfit', 'incidents', consoleModel(unfit()).incidents[0]?.key ?? '').text();
  if (process.env.UPDATE_GOLDEN) await writeFile(path, text);
  t.equal(text, await readFile(path, 'utf8'));
});

t.test('golden screens of the software', async (t) => {
  for (const [name, update] of Object.entries({
    sending: known(sending()),
    asking: known(asking()),
    onTrial: known(onTrial()),
    stopped: known(stopped()),
    none: { kind: 'none' as const },
  })) {
    const terminal = new Terminal();
    terminal.write(
      changes(null, gridOf(frame(consoleModel(FIXTURES.duplex?.() ?? unfit(), update), { ...freshDialog(0), page: 'software' }).lines)),
    );
    const path = new URL(`golden/${name}-software.txt`, import.meta.url);
    if (process.env.UPDATE_GOLDEN) await writeFile(path, terminal.text());
    t.equal(terminal.text(), await readFile(path, 'utf8'), name);
  }
});

t.test('golden screens of the settings', async (t) => {
  const picture = settings({
    whyNotWitness: 'CoServer B is not heard: both change their witness together, or each could be granted by another one.',
  });
  const model = consoleModel(FIXTURES.duplex?.() ?? unfit(), undefined, { kind: 'known', picture });
  const [password, , fence] = picture.groups;
  if (!password || !fence) throw new Error('groups');
  const page = { ...freshDialog(0), page: 'settings' as const };
  const signedIn = { ...page, signedIn: true };
  const typed = { ...formOf(password), at: 1, values: { old: 'lamp-river-cheese', new: 'bottle', again: '' } };
  const refused = refusedForm(
    { ...formOf(fence), at: fence.fields.length },
    'The BMC at 192.0.2.13 does not answer so: no answer within 5 s. The guest runs here alone, so the guest stands still for some seconds while this process starts again: wait until the pair is duplex.',
    true,
  );
  for (const [name, dialog] of Object.entries({
    settings: page,
    actions: { ...signedIn, mode: { kind: 'actions', emergency: false } as const },
    form: { ...signedIn, mode: { kind: 'form', form: typed } as const },
    refused: { ...signedIn, mode: { kind: 'form', form: refused } as const },
    told: {
      ...signedIn,
      mode: {
        kind: 'shown',
        isSecret: false,
        text: 'Written. The web console is at https://192.0.2.31/ in a moment. Sign in there.',
      } as const,
    },
  })) {
    const terminal = new Terminal();
    terminal.write(changes(null, gridOf(frame(model, dialog).lines)));
    const path = new URL(`golden/settings-${name}.txt`, import.meta.url);
    if (process.env.UPDATE_GOLDEN) await writeFile(path, terminal.text());
    t.equal(terminal.text(), await readFile(path, 'utf8'), name);
    t.notMatch(terminal.text(), /lamp|bottle/, 'no secret on the screen');
  }
});

t.test('a screen drawn by differences equals one drawn whole, in fewer bytes', async (t) => {
  const spans = fc.array(fc.record({ text: fc.string({ maxLength: 90 }), style: fc.constantFrom('plain', 'bold', 'reverse') }), {
    maxLength: 3,
  });
  const lines = fc.array(spans, { maxLength: 26 });
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const [a, b] = [gridOf(before as never), gridOf(after as never)];
      const [step, whole] = [new Terminal(), new Terminal()];
      step.write(changes(null, a));
      step.write(changes(a, b));
      whole.write(changes(null, b));
      return step.text() === whole.text() && step.styles() === whole.styles() && changes(b, b) === '';
    }),
    { numRuns: 200 },
  );
  const make = FIXTURES.duplex;
  if (!make) throw new Error('duplex');
  const [now, later] = [make(), { ...make(), at: make().at + 1000 }].map((s) => gridOf(frame(consoleModel(s), freshDialog(0)).lines));
  if (!now || !later) throw new Error('frames');
  t.ok(changes(now, later).length < 40, `a second later costs ${changes(now, later).length} bytes`);
  t.ok(changes(null, now).length < 2000, 'a whole screen is less than 0.2 s at 115200 baud');
});

t.test('every page of every situation fits and can be scrolled to its end', async (t) => {
  for (const make of Object.values(FIXTURES)) {
    const m = consoleModel(make());
    for (const page of PAGES) {
      const end = frame(m, { ...freshDialog(0), page, scroll: 10_000 });
      t.equal(end.lines.length, 24);
      t.ok(end.lines.every((line) => lineText(line).length <= 80));
      t.notMatch(end.lines.map(lineText).join('\n'), / below/);
    }
  }
});

t.test('text', async (t) => {
  t.equal(ascii('a – b … “c” 日\u001b'), 'a - b ... "c" ??');
  t.strictSame(wrap('one two three', 7), ['one two', 'three']);
  t.strictSame(wrap('abcdefghij', 4), ['abcd', 'efgh', 'ij']);
  t.strictSame(wrap('', 4), ['']);
  t.strictSame(hanging('- ', 'one two', 6).map(lineText), ['- one', '  two']);
  t.strictSame(
    [0, 0.5, 1, 7].map((f) => progressBar(f, 12)),
    ['[----------]', '[#####-----]', '[##########]', '[##########]'],
  );
  t.strictSame([timeBar(0, 0, 4), timeBar(0.5, 0.5, 4), timeBar(1, 0, 4)], ['=   ', '  ==', '   =']);
  t.strictSame(columnChart([0, 1, 2], 3, 2, String).map(lineText), ['2 |  #', '0 | ##']);
});
