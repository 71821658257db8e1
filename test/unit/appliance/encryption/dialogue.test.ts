// What is asked before the state partition is there, and what the screen says of it.
import t from 'tap';
import type { Key } from '../../../../appliance/console/serial/keys.ts';
import { lineText } from '../../../../appliance/console/serial/layout.ts';
import { COLUMNS, ROWS } from '../../../../appliance/console/serial/screen.ts';
import { firstQuestion, lockedQuestion, type StateDialogue, type StateDuty, stateStep } from '../../../../appliance/encryption/dialogue.ts';
import { statePicture } from '../../../../appliance/encryption/picture.ts';
import { readRecoveryKey, recoveryKeyOf } from '../../../../appliance/encryption/recovery-key.ts';

const KEY = recoveryKeyOf(Buffer.from('000102030405060708090a0b0c0d0e0f10111213', 'hex'));
const keysOf = (text: string): Key[] =>
  [...text].map((c) => (c === '\r' ? { kind: 'enter' } : c === '\b' ? { kind: 'backspace' } : { kind: 'byte', byte: c.charCodeAt(0) }));

/** Somebody at the console. */
class Talk {
  state: StateDialogue;
  duties: StateDuty[] = [];
  constructor(start: StateDialogue) {
    this.state = start;
  }
  tell(event: Parameters<typeof stateStep>[1]): this {
    const { state, duties } = stateStep(this.state, event);
    this.state = state;
    this.duties.push(...duties);
    return this;
  }
  type(text: string): this {
    for (const key of keysOf(text)) this.tell({ kind: 'key', key });
    return this;
  }
  text = (): string => statePicture(this.state, '1.2.3').map(lineText).join('\n');
}

t.test('recovery keys', async (t) => {
  t.equal(KEY, '000g-40r4-0m30-e209-185g-r38e-1w81-24gk');
  t.equal(recoveryKeyOf(Buffer.alloc(20, 0xff)), 'zzzz-zzzz-zzzz-zzzz-zzzz-zzzz-zzzz-zzzz');
  t.equal(readRecoveryKey(` ${KEY.toUpperCase().replaceAll('-', ' ')}`), KEY);
  t.equal(readRecoveryKey(KEY.replaceAll('-', '').replaceAll('0', 'O').replaceAll('1', 'l')), KEY, 'as people misread it');
  for (const wrong of ['', KEY.slice(1), `${KEY}0`, KEY.replace('g', 'u'), KEY.replace('g', '?')])
    t.equal(readRecoveryKey(wrong), null, wrong);
  t.throws(() => recoveryKeyOf(Buffer.alloc(16)), /20 bytes/);
});

t.test('off unless somebody says yes', async (t) => {
  t.strictSame(new Talk(firstQuestion()).type('\r').duties, [{ kind: 'end', isEncrypted: false }]);
  t.strictSame(new Talk(firstQuestion()).type('  \r').duties, [{ kind: 'end', isEncrypted: false }]);
  t.strictSame(new Talk(firstQuestion()).type(' \r').duties, [{ kind: 'make' }]);
  t.strictSame(new Talk(firstQuestion()).type('yn\r').duties, [{ kind: 'end', isEncrypted: false }]);
});

t.test('by hand: the recovery key stays until it is written down', async (t) => {
  const talk = new Talk(firstQuestion()).type(' \r');
  t.match(talk.text(), /the TPM makes and keeps a key/);
  t.strictSame(talk.type('  \r\r').duties.length, 1, 'keys wait');
  talk.tell({ kind: 'made', recoveryKey: KEY });
  t.match(talk.text(), new RegExp(KEY));
  t.match(talk.type('\r').state, { page: 'key', message: /Write all of it down first/ });
  t.match(talk.type('24gx\r').state, { page: 'key', typed: '' });
  talk.tell({ kind: 'shownLong' });
  t.equal(talk.state.page, 'key', 'somebody is there: it waits');
  talk.type('24gx\bK\r');
  t.strictSame(talk.duties.at(-1), { kind: 'end', isEncrypted: true });
  t.notMatch(JSON.stringify(talk.state), KEY.slice(0, 9), 'forgotten');
});

t.test('by an answer file', async (t) => {
  t.strictSame(new Talk(firstQuestion()).tell({ kind: 'file', encryption: 'none' }).duties, [{ kind: 'end', isEncrypted: false }]);
  const talk = new Talk(firstQuestion()).tell({ kind: 'file', encryption: 'tpm2' }).tell({ kind: 'made', recoveryKey: KEY });
  t.strictSame(talk.duties, [{ kind: 'make' }, { kind: 'showLong' }]);
  t.match(talk.text(), /it goes on by itself/);
  t.strictSame(new Talk(talk.state).tell({ kind: 'shownLong' }).duties, [{ kind: 'end', isEncrypted: true }]);
  t.strictSame(new Talk(talk.state).type('a').tell({ kind: 'shownLong' }).duties, [], 'somebody types: it waits');
  const failed = new Talk(firstQuestion())
    .tell({ kind: 'file', encryption: 'tpm2' })
    .tell({ kind: 'failed', problem: 'It is not encrypted: why.' });
  t.match(failed.state, { page: 'question', message: 'It is not encrypted: why.' });
  t.match(failed.tell({ kind: 'fileWrong', problem: 'line 3' }).text(), /line 3/);
});

t.test('locked', async (t) => {
  const talk = new Talk(lockedQuestion('this is another TPM'));
  t.match(talk.text(), /does not give the\s+key:\s+this is another TPM\./);
  t.match(talk.type('1234\r').state, { page: 'locked', message: /32 letters and digits/ });
  t.strictSame(talk.duties, []);
  talk.tell({ kind: 'key', key: { kind: 'cancel' } }).type(`${KEY.toUpperCase()}\r`);
  t.strictSame(talk.duties, [{ kind: 'try', recoveryKey: KEY }]);
  t.match(talk.tell({ kind: 'refused' }).state, { page: 'locked', typed: '', message: /does not open it/ });
  talk.type(KEY.replaceAll('-', '')).type('\r').tell({ kind: 'lockFailed', problem: 'the disk is broken' });
  t.match(talk.text(), /the disk is broken/);
  t.strictSame(talk.type('\r').tell({ kind: 'opened' }).duties.at(-1), { kind: 'end', isEncrypted: true });
});

t.test('all pages have room', async (t) => {
  const long = 'x'.repeat(64);
  for (const page of ['question', 'making', 'key', 'locked', 'trying', 'ended'] as const) {
    const state = {
      ...lockedQuestion('why '.repeat(30)),
      page,
      typed: long,
      recoveryKey: KEY,
      isUnattended: true,
      message: 'word '.repeat(25),
    };
    const lines = statePicture(state, '1.2.3');
    t.equal(lines.length, ROWS);
    for (const line of lines) t.ok(lineText(line).length <= COLUMNS, lineText(line));
    const fixed = lines.slice(2, ROWS - 3).map(lineText);
    t.equal(fixed.at(-1)?.trim(), '', `${page}: nothing is cut off`);
  }
});
