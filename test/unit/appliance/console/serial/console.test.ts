import t from 'tap';
import { hashPassword, type RequestAnswer } from '../../../../../appliance/console/api/index.ts';
import { type ActionModel, consoleModel } from '../../../../../appliance/console/model.ts';
import { freshDialog, IDLE_SIGN_OUT_MS, onKey, onTime } from '../../../../../appliance/console/serial/dialog.ts';
import { startSerialConsole } from '../../../../../appliance/console/serial/index.ts';
import { keyDecoder } from '../../../../../appliance/console/serial/keys.ts';
import type { RecoveryKeys } from '../../../../../appliance/console/serial/recovery-dialog.ts';
import type { SoftwareSource } from '../../../../../appliance/console/serial/software-desk.ts';
import type { Snapshot } from '../../../../../appliance/core/snapshot.ts';
import { duplex, holding, takeoverJustHappened } from '../fixtures.ts';
import { lockstep, unfit } from '../lockstep-fixtures.ts';
import { FakeSettings } from '../settings-fixtures.ts';
import { asking, onTrial, uploaded } from '../update-fixtures.ts';
import { FakeLine } from './terminal.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

const passwordHash = await hashPassword('käse 7');

function start(
  first: Snapshot = duplex(),
  updates?: SoftwareSource,
  answer: RequestAnswer = { accepted: false, reason: 'B is busy.' },
  settings?: FakeSettings,
  recoveryKeys?: RecoveryKeys,
) {
  const line = new FakeLine();
  let current = first;
  let offsetMs = 0;
  const listeners = new Set<() => void>();
  const asked: string[] = [];
  const askedBy: string[] = [];
  const log: string[] = [];
  const serial = startSerialConsole({
    stream: line,
    snapshot: () => current,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    request: async (action, _args, by) => {
      asked.push(action);
      askedBy.push(by);
      return answer;
    },
    ...(updates ? { updates } : {}),
    ...(settings ? { settings } : {}),
    ...(recoveryKeys ? { recoveryKeys } : {}),
    passwordHash,
    log: (text) => log.push(text),
    nowMs: () => performance.now() + offsetMs,
  });
  return {
    line,
    serial,
    asked,
    askedBy,
    log,
    listeners,
    set: (s: Snapshot) => {
      current = s;
      for (const listener of listeners) listener();
    },
    sleep: (ms: number) => {
      offsetMs += ms;
    },
  };
}

t.test('pages by key, a change without a key, farewell', async (t) => {
  const c = start();
  await c.line.shows('DUPLEX');
  c.line.type('3');
  await c.line.shows('No takeover');
  c.set(takeoverJustHappened());
  await c.line.shows('CoServer B took over');
  c.line.type('2');
  await c.line.shows('for 250 ms: holding.');
  c.line.type('4');
  await c.line.shows('Smallest accepted');
  c.line.type('\u001b[6~');
  await c.line.shows(/row.? above/);
  c.line.type('1');
  await c.line.shows('SIMPLEX');
  c.serial.close();
  t.equal(c.listeners.size, 0);
  t.equal(c.line.listenerCount('data'), 0);
});

t.test('incidents: a list, then each with what was seen, back behind the oldest', async (t) => {
  const c = start(unfit());
  t.teardown(() => c.serial.close());
  await c.line.shows('not protected: the replica on B is unfit');
  c.line.type('6');
  await c.line.shows('2 incidents, newest first');
  c.line.type('\r');
  await c.line.shows(/Incident 1 of 2[\s\S]*different at interval 18107/);
  // A new one comes while this one is read: it stays on the screen.
  const s = unfit();
  const [old] = s.incidents ?? [];
  if (!old) throw new Error('incidents');
  c.set({ ...s, incidents: [...(s.incidents ?? []), { ...old, at: s.at, sentence: 'Another one.' }] });
  await c.line.shows(/Incident 2 of 3[\s\S]*different at interval 18107/);
  c.line.type('\r');
  await c.line.shows(/Incident 3 of 3[\s\S]*Nothing more was recorded/);
  c.line.type('\r');
  await c.line.shows('3 incidents, newest first');
  c.line.type('\r');
  await c.line.shows('Another one.');
  c.set(lockstep());
  await c.line.shows('No replica was found broken so far.');
  c.set(unfit());
  await c.line.shows('older than what is kept here');
  c.line.type('\r');
  await c.line.shows('2 incidents, newest first');
});

t.test('the page of the mode names the numbers of its actions', async (t) => {
  const c = start(lockstep());
  t.teardown(() => c.serial.close());
  await c.line.shows('lockstep for 12 min 04 s, 98.7 % agreed, secondary proven');
  c.line.type('5');
  await c.line.shows('To change it: a, then 2 Keep lockstep or 3 Keep passive');
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('käse 7\r');
  await c.line.shows('How output leaves');
  c.line.type('3');
  await c.line.shows('Keep passive? y');
  c.line.type('y');
  await c.line.shows('Refused: B is busy.');
  t.strictSame(c.asked, ['pin-passive']);
});

t.test('a new recovery key: the old one is typed, the new one shown once, its end typed', async (t) => {
  const [old, fresh] = ['old key', 'abcd-2345-abcd-2345-abcd-2345-abcd-wxyz'];
  const asked: string[] = [];
  const keys: RecoveryKeys = {
    begin: async (key) => (key === old ? fresh : null),
    keep: async () => void asked.push('keep'),
    drop: async () => void asked.push('drop'),
  };
  const c = start(duplex(), undefined, undefined, undefined, keys);
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.type('akäse 7\r');
  await c.line.shows('Actions: press the number');
  t.notMatch(c.line.terminal.text(), /recovery key/);
  c.line.type('r\r8a');
  await c.line.shows('r: a new recovery key for the encrypted state of this server');
  c.line.type('rwrong\r');
  await c.line.shows('That is not the recovery key of this server.');
  c.line.type(`${old}\r`);
  await c.line.shows(fresh);
  c.line.type('zzzz\r');
  await c.line.shows('Write all of it down first');
  c.line.type('WXYZ\r');
  await c.line.shows('The new recovery key counts; the old one opens nothing any more.');
  t.notMatch(c.line.terminal.text(), /abcd-2345/);
  c.line.type(`r${old}\r`);
  await c.line.shows(fresh);
  c.line.type('\x03');
  await c.line.shows('The old recovery key still counts.');
  c.line.type(`r${old}\r`);
  await c.line.shows(fresh);
  c.sleep(IDLE_SIGN_OUT_MS);
  await c.line.shows('Signed out');
  t.strictSame(asked, ['keep', 'drop', 'drop'], 'nobody has written it down: it is given up');
  t.notOk(c.log.some((line) => line.includes(fresh) || line.includes(old)));
});

t.test('looking is free, asking needs the password', async (t) => {
  const c = start();
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('wrong');
  await c.line.shows('Password: *****_');
  c.line.type('\r');
  await c.line.shows('Wrong password.');
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('kx\u007fäse 7\r');
  await c.line.shows('press the number');
  await c.line.shows('e: what else there is for an emergency');
  c.line.type('e');
  await c.line.shows('not now: The workload runs already.');
  c.line.type('1');
  await c.line.shows('y: ask for it');
  t.strictSame(c.asked, []);
  c.line.type('y');
  await c.line.shows('Refused: B is busy.');
  t.strictSame(c.asked, ['move-workload']);
  t.strictSame(c.askedBy, ['the serial console']);
  t.notMatch(c.log.join('\n'), /käse|wrong$/);
  // Who comes after an unplugged cable is somebody else.
  c.line.emit('reopened');
  await c.line.shows('DUPLEX');
  c.line.type('a');
  await c.line.shows('Password: _');
});

t.test('what is for whoever asked is shown until a key is pressed, and to nobody after him', async (t) => {
  const key = `key  ${'5a'.repeat(32)}`;
  const c = start(duplex(), undefined, { accepted: true, detail: { show: `Twinstep witness enrolment\n${key}\n` } });
  t.teardown(() => c.serial.close());
  const ask = async (): Promise<void> => {
    c.line.type('1');
    await c.line.shows('y: ask for it');
    c.line.type('y');
    await c.line.shows(key);
  };
  await c.line.shows('DUPLEX');
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('käse 7\r');
  await c.line.shows('press the number');
  await ask();
  await c.line.shows('To be treated as a password');
  c.line.type('x');
  await c.line.shows('press the number');
  t.notMatch(c.line.terminal.text(), key, 'gone');
  await ask();
  // Nobody presses a key.
  c.sleep(IDLE_SIGN_OUT_MS);
  await c.line.shows('Signed out');
  t.notMatch(c.line.terminal.text(), key, 'gone');
  t.notMatch(c.log.join(), '5a5a');
});

t.test('a device that is opened later gets the whole screen: what was drawn before went nowhere', async (t) => {
  const c = start();
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.terminal.write('\u001b[2J');
  t.notMatch(c.line.terminal.text(), /DUPLEX/);
  c.line.emit('opened');
  // The next drawing is a whole one.
  const { bytes } = c.line;
  c.line.type('2');
  await c.line.until(() => c.line.bytes > bytes);
  t.match(c.line.terminal.text(), /TWINSTEP {2}CoServer A/);
});

t.test('an action that can lose data: its word is typed out, beside what it means', async (t) => {
  const c = start(holding());
  t.teardown(() => c.serial.close());
  await c.line.shows(/The workload is frozen[\s\S]*press a,\s+then 1: "Start here by force"/);
  c.line.type('akäse 7\r');
  await c.line.shows('Emergency: it can lose data');
  c.line.type('1');
  await c.line.shows(/there\s+will\s+be\s+two\s+histories[\s\S]*Type the word 'force' and press Enter: _/);
  c.line.type('yes\r');
  await c.line.shows("Not asked: that is not 'force'.");
  c.line.type('1forcx\u007f');
  await c.line.shows('press Enter: forc_');
  c.line.type('\u0003');
  await c.line.shows('Not asked.');
  t.strictSame(c.asked, []);
  c.line.type('1force\r');
  await c.line.shows('Refused: B is busy.');
  t.strictSame(c.asked, ['force-start']);
});

t.test('events: what was known, one by one', async (t) => {
  const c = start(takeoverJustHappened());
  t.teardown(() => c.serial.close());
  await c.line.shows('SIMPLEX');
  c.line.type('2');
  await c.line.shows('Enter: what was known, one by one (1)');
  c.line.type('\r');
  await c.line.shows(/Event 1 of 1[\s\S]*Situation: row 5: partner silent[\s\S]*way to the partner's BMC: proven/);
  c.line.type('\r');
  await c.line.shows('Enter: what was known, one by one (1)');
});

t.test('the software: restart refused, then forced with its word; the pair; a way back', async (t) => {
  const asked: string[] = [];
  let picture = uploaded();
  const source: SoftwareSource = {
    status: async () => picture,
    restart: (force, by) => {
      asked.push(`restart ${force} ${by}`);
      return force ? { accepted: true } : { accepted: false, reason: 'the workload runs here.', canForce: true };
    },
    rollback: async (force) => {
      asked.push(`rollback ${force}`);
      return { accepted: true, detail: { version: '1.0.0' } };
    },
    pair: (action, mayRestartGuest) => {
      asked.push(`${action} ${mayRestartGuest}`);
      picture = action === 'start' ? asking() : picture;
      return { accepted: true };
    },
  };
  const c = start(duplex(), source);
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.type('9');
  await c.line.shows(/Software: version 1\.0\.0, then 1\.2\.0[\s\S]*CoServer A \(this one\)[\s\S]*on the web console/);
  c.line.type('akäse 7\r');
  await c.line.shows(/1 {3}Update the pair to 1\.2\.0[\s\S]*2 {3}Restart this server/);
  c.line.type('2');
  await c.line.shows('Restart this server (A)? y');
  c.line.type('y');
  await c.line.shows('it can be forced');
  c.line.type('2');
  await c.line.shows(/the workload runs here[\s\S]*Type the word 'force'/);
  c.line.type('force\r');
  await c.line.shows('Accepted: this server starts again.');
  c.line.type('1y');
  await c.line.shows('Let vm1 restart');
  c.line.type('1');
  await c.line.shows(/its clients notice[\s\S]*Type the word 'restart'/);
  c.line.type('restart\r');
  await c.line.shows('Accepted.');
  picture = onTrial();
  c.line.type('\r');
  await c.line.shows('version 1.2.0, on trial');
  c.line.type('a');
  await c.line.shows(/2 {3}Go back to 1\.0\.0/);
  c.line.type('2');
  await c.line.shows('Go back to 1.0.0? y');
  c.line.type('y');
  await c.line.shows('Accepted: version 1.0.0 runs from the next start on.');
  t.strictSame(asked, [
    'restart false the serial console',
    'restart true the serial console',
    'start false',
    'allowRestart true',
    'rollback false',
  ]);
  t.strictSame(c.asked, [], 'nothing of it was asked of the core');
});

t.test('the software where no image was started, and where the disk does not answer', async (t) => {
  const c = start();
  await c.line.shows('DUPLEX');
  c.line.type('9');
  await c.line.shows('was not started from an appliance image');
  c.serial.close();
  const broken = start(duplex(), {
    status: () => Promise.reject(new Error('EIO: the disk does not answer')),
    restart: () => ({ accepted: true }),
    rollback: async () => ({ accepted: true }),
  });
  t.teardown(() => broken.serial.close());
  await broken.line.shows('DUPLEX');
  broken.line.type('9');
  await broken.line.shows(/\[\?\?\] Software: not known now[\s\S]*EIO/);
});

t.test('guessing is slowed down', async (t) => {
  const c = start();
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  for (let i = 0; i < 5; i++) {
    c.line.type('a');
    await c.line.shows('Password: _');
    c.line.type('x\r');
    await c.line.shows('Wrong password.');
  }
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('käse 7\r');
  await c.line.shows('Too many attempts: try again in 1 s.');
});

t.test('a line that nobody reads: nothing piles up, and the newest picture comes', async (t) => {
  const c = start();
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.taking = false;
  // Enough to fill the buffer: pages that differ much.
  for (let i = 0; i < 40; i++) {
    c.line.type(i % 2 === 0 ? '2' : '4');
    c.set({ ...duplex(), at: duplex().at + i * 1000 });
    await new Promise((resolve) => setTimeout(resolve, 45));
  }
  t.ok(c.line.writableLength < 6000, `${c.line.writableLength} bytes wait`);
  c.line.type('1');
  c.set(takeoverJustHappened());
  c.line.takeAll();
  await c.line.shows('SIMPLEX');
});

t.test('hostile input: bounded, and the screen stays whole', async (t) => {
  const c = start();
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  let seed = 42;
  const noise = Buffer.alloc(200_000, 0);
  for (let i = 0; i < noise.length; i++) {
    seed = (seed * 48271) % 2147483647;
    noise[i] = seed & 0xff;
  }
  const before = c.line.bytes;
  c.line.push(noise);
  c.line.push(Buffer.from(`\u001b[${'9'.repeat(100_000)}`));
  c.line.type('\u0003\u0003q1\f');
  await c.line.until(() => c.line.bytes > before);
  // Whatever state the noise led to: leave it by the ways out and look.
  c.line.type('\u0003\r\u00031\f');
  await c.line.shows(/DUPLEX|Too many|Wrong/);
  t.strictSame(c.asked, []);
});

t.test('keys', async (t) => {
  const decode = keyDecoder();
  const keys = (text: string): string[] =>
    decode(Buffer.from(text, 'latin1')).map((k) =>
      k.kind === 'byte' ? String.fromCharCode(k.byte) : k.kind === 'move' ? `${k.by}${k.direction}` : k.kind,
    );
  t.strictSame(keys('a\r\n\u007f\u0008\u000c\u0003\u0000\u0001'), ['a', 'enter', 'enter', 'backspace', 'backspace', 'redraw', 'cancel']);
  t.strictSame(keys('\u001b[A\u001b[B\u001bOA\u001b[5~\u001b[6~\u001b[15~\u001bxz'), ['line-1', 'line1', 'line-1', 'page-1', 'page1', 'z']);
  t.strictSame(keys('\u001b['), []);
  t.strictSame(keys('A'), ['line-1'], 'in pieces');
  t.strictSame(keys(`\u001b[${'1'.repeat(40)}`).length < 40, true, 'an endless sequence is dropped');
});

t.test('nobody presses a key: signed out, and a half typed password is forgotten', async (t) => {
  const actions: ActionModel[] = [{ name: 'x', label: 'X', allowed: true, reason: '', group: 'guest', typed: null, number: 1 }];
  const signedIn = { ...freshDialog(0), signedIn: true, mode: { kind: 'actions' as const, emergency: false } };
  t.equal(onTime(signedIn, IDLE_SIGN_OUT_MS - 1), signedIn);
  t.match(onTime(signedIn, IDLE_SIGN_OUT_MS), { signedIn: false, mode: { kind: 'view' } });
  const late = onKey(
    { ...signedIn, mode: { kind: 'confirm', action: actions[0] as ActionModel } },
    { kind: 'byte', byte: 0x79 },
    {
      actions,
      software: consoleModel(duplex()).software,
      settings: consoleModel(duplex()).settings,
      incidents: [],
      events: [],
      hasRecoveryKey: false,
    },
    20,
    IDLE_SIGN_OUT_MS + 1,
  );
  t.equal(late.duty, null, 'a y that comes too late asks for nothing');
  t.match(onTime({ ...freshDialog(0), mode: { kind: 'password', typed: [1, 2] } }, IDLE_SIGN_OUT_MS), { mode: { kind: 'view' } });
});

t.test('a setting: typed field by field, refused, accepted with what stands against it; a new password signs others out', async (t) => {
  const fake = new FakeSettings();
  const c = start(duplex(), undefined, undefined, fake);
  t.teardown(() => c.serial.close());
  await c.line.shows('DUPLEX');
  c.line.type('0');
  await c.line.shows(/192\.0\.2\.21\/24, router 192\.0\.2\.1[\s\S]*To change one: press a/);
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('käse 7\r');
  await c.line.shows(/ 2 {3}Address in the network of the operators/);
  c.line.type('2');
  await c.line.shows('Address of this server: 192.0.2.21/24_');
  c.line.type('\x7f\x7f\x7f\x7f31/24\r');
  await c.line.shows('Router (may be empty): 192.0.2.1_');
  c.line.type('\r');
  await c.line.shows('Change it? y');
  fake.answers = [
    { accepted: false, reason: 'That address is taken.' },
    { accepted: false, reason: 'The guest stands still.', canForce: true },
  ];
  c.line.type('y');
  await c.line.shows(/\[!!\] That address is taken\.[\s\S]*Address of this server: 192\.0\.2\.231\/24_/);
  c.line.type('\r\ry');
  await c.line.shows(/\[!!\] The guest stands still\.[\s\S]*Do it all the same\? y/);
  c.line.type('y');
  await c.line.shows('Written.');
  t.strictSame(
    fake.asked.map((a) => [a.name, a.values, a.how.via, a.how.isAccepted]),
    [false, false, true].map((isAccepted) => ['management', { address: '192.0.2.231/24', gateway: '192.0.2.1' }, 'serial', isAccepted]),
  );
  c.line.type(' ');
  await c.line.shows('Actions: press the number');
  c.line.type('3');
  await c.line.shows('Its address: 192.0.2.12_');
  c.line.type('\r\rhush\r');
  await c.line.shows('Its cipher suite: < 17 >   space: another one');
  c.line.type(' ');
  await c.line.shows('< 3 (older BMCs) >');
  c.line.type('\ry');
  await c.line.shows('Written.');
  t.match(fake.asked.at(-1)?.values, { password: 'hush', cipherSuite: '3', username: 'twinstep' });
  c.line.type(' ');
  await c.line.shows('Actions: press the number');
  c.line.type('1');
  await c.line.shows('The present password: _');
  c.line.type('abc\x03');
  await c.line.shows('Nothing was changed.');
  t.equal(fake.asked.length, 4, 'given up');
  t.notMatch(c.log.join(), /hush|abc/);
  const other = await hashPassword('another one');
  c.serial.setPassword(other, 'the serial console');
  await c.line.shows('Actions: press the number');
  c.serial.setPassword(other, 'of a browser');
  await c.line.shows('[1 pair]');
  c.line.type('a');
  await c.line.shows('Password: _');
  c.line.type('käse 7\r');
  await c.line.shows('Wrong password.');
  c.line.type('aanother one\r');
  await c.line.shows('Actions: press the number');
});
