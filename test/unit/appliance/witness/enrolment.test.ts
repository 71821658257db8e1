import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseListen } from '../../../../appliance/witness/command.ts';
import { formatEnrolment, MAXIMUM_PAIRS, PairFolder, parseEnrolment } from '../../../../appliance/witness/enrolment.ts';
import { SeldomLog } from '../../../../appliance/witness/seldom-log.ts';
import { stateFolder } from './bench-pair.ts';

const ONE = { pairId: '00112233445566778899aabbccddeeff', key: Buffer.alloc(32, 0x5a) };

t.test('an enrolment is read as it was written, and every change is found', async (t) => {
  const text = formatEnrolment(ONE);
  t.same(parseEnrolment(text), ONE);
  t.same(parseEnrolment(`\r\n  ${text.replaceAll('\n', '\r\n')}\n`), ONE, 'copied through a terminal');
  t.throws(() => parseEnrolment(''), /this is no enrolment.*twinstep witness-key/);
  t.throws(() => parseEnrolment(text.replace('enrolment 1', 'enrolment 2')), /this is no enrolment/);
  t.throws(() => parseEnrolment(text.split('\n').slice(0, 3).join('\n')), /not whole/);
  t.throws(() => parseEnrolment(text.replace('pair 0', 'pair 1')), /changed on its way/);
  t.throws(() => parseEnrolment(text.replace('5a5a', '5a5b')), /changed on its way/);
});

t.test('the folder of the pairs', async (t) => {
  const folder = new PairFolder(stateFolder(t));
  t.equal(folder.key(ONE.pairId), null);
  t.equal(folder.key('../../etc/passwd'), null);
  t.equal(folder.add(ONE), 'added');
  t.equal(folder.add(ONE), 'known');
  t.same(folder.key(ONE.pairId), ONE.key);
  t.equal(statSync(join(folder.path, `${ONE.pairId}.key`)).mode & 0o777, 0o600);
  t.throws(() => folder.add({ ...ONE, key: Buffer.alloc(32, 1) }), /enrolled with another key.*twinstep witness remove/);
  t.same(folder.list(), [ONE.pairId]);
  writeFileSync(join(folder.path, `${ONE.pairId}.key`), readFileSync(join(folder.path, `${ONE.pairId}.key`), 'utf8').replace('5a', '00'));
  t.throws(() => folder.key(ONE.pairId), /changed on its way/, 'a damaged file is named');
  folder.remove(ONE.pairId);
  t.throws(() => folder.remove(ONE.pairId), /not enrolled: twinstep witness list/);
  for (let i = 0; i < MAXIMUM_PAIRS; i++) writeFileSync(join(folder.path, `${i.toString(16).padStart(32, '0')}.key`), '');
  t.throws(() => folder.add(ONE), /1000 pairs are enrolled/);
});

t.test('what lies in the way of an enrolment is not followed', async (t) => {
  const folder = new PairFolder(stateFolder(t));
  const theirs = join(stateFolder(t), 'shadow');
  writeFileSync(theirs, 'as it was');
  symlinkSync(theirs, join(folder.path, `${ONE.pairId}.key.new`));
  t.equal(folder.add(ONE), 'added');
  t.equal(readFileSync(theirs, 'utf8'), 'as it was');
  t.same(folder.key(ONE.pairId), ONE.key);
});

t.test('where to listen', async (t) => {
  t.same(parseListen('192.0.2.1:7410'), { host: '192.0.2.1', port: 7410 });
  t.same(parseListen('[2001:db8::1]:7410'), { host: '2001:db8::1', port: 7410 });
  for (const wrong of [undefined, '7410', 'here:7410', '192.0.2.1:0', '192.0.2.1:x'])
    t.throws(() => parseListen(wrong), /address:port is needed, for example/);
});

t.test('the same thing is told once in a while', async (t) => {
  const lines: string[] = [];
  let now = 0;
  const log = new SeldomLog(
    (line) => lines.push(line),
    () => now,
  );
  for (let i = 0; i < 5; i++) log.say('a', 'A');
  log.say('b', 'B');
  now = 10_000;
  log.say('a', 'A');
  t.same(lines, ['A', 'B', 'A (and 4 times more since it was last told)']);
});
