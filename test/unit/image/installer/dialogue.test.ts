// The installer's dialogue: keys and news in, duties out; and its screens.
import t from 'tap';
import { lineText } from '../../../../appliance/console/serial/layout.ts';
import { COLUMNS, ROWS } from '../../../../appliance/console/serial/screen.ts';
import type { Answers } from '../../../../image/installer/answers.ts';
import { readAnswers } from '../../../../image/installer/answers.ts';
import { type Duty, freshInstallation, type Installation, type News, onKey, onNews } from '../../../../image/installer/dialogue.ts';
import type { DiskChoice } from '../../../../image/installer/disk-choice.ts';
import { advanced, freshProgress, progressText } from '../../../../image/installer/progress.ts';
import { screen } from '../../../../image/installer/screens.ts';

function disk(serial: string, more: Partial<DiskChoice> = {}): DiskChoice {
  const facts = {
    device: `/dev/${serial}`,
    model: 'SSD',
    serial,
    bytes: 480e9,
    logicalBlockBytes: 512,
    writeProtected: false,
    inUse: null,
    content: { kind: 'blank' },
  } as const;
  return { facts, contents: 'nothing', refusal: null, keepable: false, word: serial.slice(-4), ...more };
}
const EMPTY = disk('AAAA1111');
const OLD = disk('BBBB2222', { keepable: true, contents: 'Twinstep 0.9.0: CoServer A of pair 01234567' });
const SMALL = disk('CCCC3333', { refusal: 'it is too small: 3 GB; 4.03 GB are needed' });

/** Its state can stay, and that version wrote it last. */
function diskWrittenBy(stateVersion: string): DiskChoice {
  const made = disk('DDDD4444', { keepable: true, contents: 'Twinstep' });
  const twinstep = { versions: [stateVersion], stateVersion, state: { kind: 'unconfigured' } } as const;
  return {
    ...made,
    facts: { ...made.facts, content: { kind: 'partitions', partitions: [], twinstep: { ...twinstep, versions: [stateVersion] } } },
  };
}

/** Plays keys: characters, and <enter>, <esc>, <up>, <down>, <back>. */
function play(state: Installation, keys: string): { state: Installation; duties: Duty[] } {
  const duties: Duty[] = [];
  for (const [key] of keys.matchAll(/<\w+>|./g)) {
    const step = onKey(
      state,
      key === '<enter>'
        ? { kind: 'enter' }
        : key === '<esc>'
          ? { kind: 'escape' }
          : key === '<back>'
            ? { kind: 'backspace' }
            : key === '<up>' || key === '<down>'
              ? { kind: 'move', by: 'line', direction: key === '<up>' ? -1 : 1 }
              : { kind: 'byte', byte: key.charCodeAt(0) },
    );
    state = step.state;
    if (step.duty) duties.push(step.duty);
  }
  return { state, duties };
}

const after = (state: Installation, ...news: News[]) => news.reduce((s, n) => onNews(s, n).state, state);
const choosing = (...disks: DiskChoice[]) => after(freshInstallation('1.2.3', null), { kind: 'disks', disks });
const shown = (state: Installation) => screen(state).map(lineText).join('\n');
const answers = (more: Partial<Answers> = {}): Answers => ({ serial: 'AAAA1111', keep: false, finally: 'restart', ...more });

t.test('an empty disk: chosen, its serial number typed, written', async (t) => {
  const { state, duties } = play(choosing(EMPTY, SMALL), '<enter>1111<enter>');
  t.strictSame(duties, [{ kind: 'install', target: { disk: EMPTY, keep: false } }]);
  t.equal(state.mode.kind, 'working');
  const done = after(state, { kind: 'installed', tookMs: 65_000 });
  t.match(shown(done), /Installed in 1 min 05 s.*Take the installation medium out/s);
  t.strictSame(play(done, 'x<enter>').duties, [{ kind: 'leave', how: 'restart' }]);
});

t.test('an older version beside a state that a newer one wrote: said, and asked for with another word; never by itself', async (t) => {
  const newer = diskWrittenBy('1.3.0');
  const asked = play(choosing(newer), '<enter>1');
  t.match(
    shown(asked.state),
    /written by\s+version\s+1\.3\.0, which is newer than 1\.2\.3[\s\S]*Install 1\.3\.0[\s\S]*type 'older' and the last 4 characters.*\s+.*older 4444/,
  );
  t.ok(screen(asked.state).length <= ROWS);
  const usual = play(asked.state, '4444<enter>');
  t.strictSame(usual.duties, []);
  t.match(shown(usual.state), /That is not 'older 4444'/);
  t.strictSame(play(asked.state, 'older 4444<enter>').duties, [{ kind: 'install', target: { disk: newer, keep: true } }]);
  t.strictSame(play(choosing(newer), '<enter>24444<enter>').duties, [{ kind: 'install', target: { disk: newer, keep: false } }]);
  const same = diskWrittenBy('1.2.3');
  t.strictSame(play(choosing(same), '<enter>14444<enter>').duties, [{ kind: 'install', target: { disk: same, keep: true } }]);
  const byItself = (disk: DiskChoice, keep: boolean) =>
    onNews(freshInstallation('1.2.3', answers({ serial: 'DDDD4444', keep })), { kind: 'disks', disks: [disk] });
  t.match(byItself(newer, true), {
    duty: null,
    state: { message: /state of disk DDDD4444 was written by version 1\.3\.0, and this is 1\.2\.3: install 1\.3\.0/ },
  });
  t.match(byItself(newer, false).duty, { kind: 'install' });
  t.match(byItself(same, true).duty, { kind: 'install' });
});

t.test('nothing is written by mistake', async (t) => {
  const wrong = play(choosing(EMPTY), '<enter>1112<enter>');
  t.strictSame(wrong.duties, []);
  t.match(shown(wrong.state), /That is not '1111'\. Nothing was written\./);
  t.strictSame(play(wrong.state, '11x<back>11<enter>').duties.length, 1, 'a second try, and backspace');
  t.strictSame(play(choosing(EMPTY), '<enter><enter>').duties, []);
  t.strictSame(play(choosing(EMPTY), '<enter>1111<esc><enter>').state.mode, {
    kind: 'confirm',
    target: { disk: EMPTY, keep: false },
    typed: '',
  });
  t.strictSame(play(choosing(), '<enter>1<down><enter>').duties, []);
  const refused = play(choosing(SMALL), '<enter>3333<enter>');
  t.strictSame(refused.duties, []);
  t.match(shown(refused.state), /cannot be taken: it is too small/);
  t.match(play(choosing(EMPTY), `<enter>${'1'.repeat(500)}`).state.mode, { typed: '1'.repeat(32) }, 'a flood of keys is bounded');
});

t.test('a Twinstep is there: its state stays, unless it is erased', async (t) => {
  const how = play(choosing(OLD), '<enter>').state;
  t.match(shown(how), />1 {2}Keep its state.* 2 {2}Erase all of it/s);
  t.strictSame(play(how, '<enter>2222<enter>').duties, [{ kind: 'install', target: { disk: OLD, keep: true } }]);
  t.strictSame(play(how, '<down><enter>2222<enter>').duties, [{ kind: 'install', target: { disk: OLD, keep: false } }]);
  t.strictSame(play(how, '22222<enter>').duties, [{ kind: 'install', target: { disk: OLD, keep: false } }], 'by its number');
  t.match(shown(play(how, '2').state), /Everything on this disk will be lost/);
  t.match(shown(play(how, '1').state), /Its state stays/);
  t.equal(play(how, '<esc>').state.mode.kind, 'choose');
});

t.test('a failure is said with its remedy, and leads back to the disks', async (t) => {
  const working = play(choosing(EMPTY), '<enter>1111<enter>').state;
  const failed = after(working, { kind: 'failed', why: 'Writing /dev/sda failed.', remedy: 'Take another one.', final: false });
  t.match(shown(failed), /Not installed\..*Writing \/dev\/sda failed\..*Take another one\..*Enter back to the disks/s);
  t.strictSame(play(failed, '<enter>').duties, [{ kind: 'look' }]);
  const final = after(freshInstallation('1.2.3', null), {
    kind: 'failed',
    why: 'The medium is damaged.',
    remedy: 'Fetch it again.',
    final: true,
  });
  t.strictSame(play(final, '<enter>').duties, []);
  t.strictSame(play(final, 'q').duties, [{ kind: 'leave', how: 'restart' }]);
});

t.test('by itself: the disk with that serial number, or nobody is surprised', async (t) => {
  const given = (a: Answers, ...disks: DiskChoice[]) => onNews(freshInstallation('1.2.3', a), { kind: 'disks', disks });
  t.strictSame(given(answers(), SMALL, EMPTY).duty, { kind: 'install', target: { disk: EMPTY, keep: false } });
  const installed = onNews(given(answers({ finally: 'off' }), EMPTY).state, { kind: 'installed', tookMs: 1 });
  t.strictSame(installed.duty, { kind: 'leave', how: 'off' });
  t.strictSame(given(answers({ serial: 'BBBB2222', keep: true }), OLD).duty, { kind: 'install', target: { disk: OLD, keep: true } });
  for (const [a, disks, why] of [
    [answers({ serial: 'none' }), [EMPTY], /no disk has the serial number none/],
    [answers(), [EMPTY, disk('AAAA1111')], /2 disks have the serial number/],
    [answers({ serial: 'CCCC3333' }), [SMALL], /cannot be taken: it is too small/],
    [answers({ keep: true }), [EMPTY], /has no state/],
  ] as const) {
    const { state, duty } = given(a, ...disks);
    t.equal(duty, null);
    t.match(state.message, why);
    t.equal(state.mode.kind, 'choose', 'then somebody is asked');
  }
  const failed = after(given(answers(), EMPTY).state, { kind: 'failed', why: 'x', remedy: 'y', final: false });
  t.equal(
    onNews(play(failed, '<enter>').state, { kind: 'disks', disks: [EMPTY] }).duty,
    null,
    'a disk that failed is not tried again and again',
  );
  const second = play(onNews(play(failed, '<enter>').state, { kind: 'disks', disks: [EMPTY] }).state, '<enter>1111<enter>').state;
  t.equal(onNews(second, { kind: 'installed', tookMs: 1 }).duty, null, 'and then somebody is asked, also at the end');
});

t.test('answers: read strictly', async (t) => {
  const right = 'disk S4EW NX0\nstate keep\n# a remark\nsure yes\nfinally off\n';
  t.strictSame(readAnswers(right), { kind: 'answers', answers: { serial: 'S4EW NX0', keep: true, finally: 'off' } });
  t.match(readAnswers('disk x\nstate erase\nsure yes'), { answers: { keep: false, finally: 'restart' } });
  for (const [text, why] of [
    ['disk x\nstate erase', /'sure' is missing/],
    ['disk x\nstate erase\nsure no', /'sure' is 'no', not yes/],
    ['disk x\ndisk y\nstate erase\nsure yes', /'disk' is there twice/],
    ['disc x', /'disc' is not known/],
    ['constructor x', /'constructor' is not known/],
    ['disk', /'disk' has no value/],
    ['state erase\nsure yes', /'disk' is missing/],
  ] as const)
    t.match(readAnswers(text), { kind: 'wrong', why }, text);
});

t.test('progress: bytes, rate of the last seconds, what is left', async (t) => {
  let p = freshProgress(200e6, 1000);
  t.equal(progressText(p), '0 B of 200 MB, 0 %');
  p = advanced(p, 100e6, 2000);
  t.equal(progressText(p), '100 MB of 200 MB, 50.0 %, 100 MB/s, 1 s left');
  for (let at = 3000; at <= 20_000; at += 1000) p = advanced(p, 100e6 + (at - 2000) * 1000, at);
  t.equal(progressText(p), '118 MB of 200 MB, 59.0 %, 1 MB/s, 1 min 22 s left', 'the first second is forgotten');
  t.ok(p.samples.length < 10);
});

t.test('every screen is 24 rows of 80 characters, whatever the disks are called', async (t) => {
  const long = disk('Z'.repeat(90), { contents: 'word '.repeat(200), refusal: 'because '.repeat(50), keepable: true });
  const many = Array.from({ length: 12 }, (_, i) => disk(`MANY000${i}`));
  const keep = { disk: long, keep: true };
  const states: Installation[] = [
    freshInstallation('1.2.3', null),
    choosing(),
    choosing(long, ...many),
    play(choosing(...many), '<down>'.repeat(10)).state,
    { ...choosing(long), mode: { kind: 'how', disk: long, keep: true } },
    { ...choosing(long), mode: { kind: 'confirm', target: keep, typed: 'x'.repeat(32) } },
    { ...choosing(long), mode: { kind: 'working', target: keep, phase: 'checking', progress: advanced(freshProgress(9, 0), 3, 9) } },
    { ...choosing(long), mode: { kind: 'done', target: keep, tookMs: 1 }, finally: 'off' },
    { ...choosing(long), mode: { kind: 'failed', why: 'why '.repeat(300), remedy: 'remedy', final: true } },
    { ...choosing(long), mode: { kind: 'leaving' } },
  ];
  for (const state of states) {
    const rows = screen(state);
    t.equal(rows.length, ROWS, state.mode.kind);
    const keys = lineText(rows.at(-1) ?? []);
    t.equal(keys === '', ['looking', 'leaving', 'done'].includes(state.mode.kind), `${state.mode.kind}: the last row has its keys`);
    for (const row of rows) t.ok(lineText(row).length <= COLUMNS, `${state.mode.kind}: ${lineText(row)}`);
  }
  t.match(shown(states[8] ?? choosing()), /remedy/, 'a long reason leaves room for the remedy');
  t.match(shown(states[3] ?? choosing()), /10 to 12 of 12.*>2 {2}SSD +MANY00010/s, 'the cursor leads to further disks');
  t.strictSame(play(states[3] ?? choosing(), '1<enter>').state.mode, {
    kind: 'confirm',
    target: { disk: many[9], keep: false },
    typed: '',
  });
});
