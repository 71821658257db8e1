// The client against a BMC that is faked at the byte: what works, what goes wrong on the way, and who must not be believed.
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { type Direction, FakeBmc, type FakeBmcOptions } from '../../../../drivers/ipmi/fake.ts';
import { type IpmiError, type IpmiOptions, openIpmi } from '../../../../drivers/ipmi/index.ts';

const CREDENTIALS = { username: 'twinstep', password: 'only-for-tests' };

async function fake(t: { teardown: (fn: () => unknown) => void }, options: Partial<FakeBmcOptions> = {}) {
  const bmc = await FakeBmc.start({ ...CREDENTIALS, ...options });
  t.teardown(() => bmc.close());
  const target: IpmiOptions = { address: '127.0.0.1', port: bmc.port, ...CREDENTIALS, timeoutMs: 100, retries: 3 };
  const open = async (more: Partial<IpmiOptions> = {}) => {
    const session = await openIpmi({ ...target, ...more });
    t.teardown(() => session.close());
    return session;
  };
  return { bmc, target, open };
}

function reason(name: string, message: RegExp) {
  return { name: 'IpmiError', reason: name, message };
}

for (const suite of [3, 17] as const) {
  t.test(`all questions with suite ${suite}`, async (t) => {
    const { bmc, open } = await fake(t);
    const session = await open({ cipherSuite: suite });
    t.equal(session.cipherSuite, suite);
    t.match(await session.deviceId(), { deviceId: 32, firmware: '1.23', ipmiVersion: '2.0', manufacturerId: 7154, productId: 42 });
    t.equal((await session.chassisStatus()).on, true);
    for (const [action, running] of [
      ['off', false],
      ['on', true],
      ['cycle', true],
      ['reset', true],
    ] as const) {
      await session.chassisControl(action);
      t.equal(bmc.machine.running, running, action);
    }
    t.equal((await session.selInfo()).entries, 1);
    const entries = [];
    for await (const entry of session.selEntries()) entries.push(entry.event?.sensorType);
    t.strictSame(entries, [0x0c]);
    bmc.machine.readings.set(1, { raw: 150, states: 0x18 });
    t.match(await session.sensors(), [{ name: 'CPU Temp', value: 150, unit: 'C', level: 'critical' }]);
    bmc.machine.log.entries.length = 0;
    for await (const _ of session.selEntries()) t.fail('an empty log has no entries');
    await t.rejects(session.sensorReading(99), reason('rejected', /no such sensor/));
    await session.close();
    await t.rejects(session.deviceId(), reason('lost', /closed/));
  });
}

t.test('the suite: the better one, else the other, and never another than was asked for', async (t) => {
  for (const shortErrors of [false, true]) {
    const { open } = await fake(t, { suites: [3], shortErrors });
    t.equal((await open()).cipherSuite, 3);
    await t.rejects(open({ cipherSuite: 17 }), reason('cipherSuite', /^the BMC at 127\.0\.0\.1:\d+ does not offer cipher suite 17$/));
  }
  const { bmc, open } = await fake(t);
  t.equal((await open()).cipherSuite, 17);
  // A BMC (or somebody before it) that agrees to something weaker.
  bmc.fault = (packet, direction) => {
    if (direction === 'out' && packet[5] === 0x11) packet[4 + 12 + 12 + 4] = 0;
    return [packet];
  };
  await t.rejects(open({ cipherSuite: 17 }), reason('cipherSuite', /does not offer cipher suite 17/));
});

t.test('credentials', async (t) => {
  const { open } = await fake(t);
  await t.rejects(open({ password: 'wrong' }), reason('refused', /refused the password for 'twinstep'$/));
  await t.rejects(open({ username: 'nobody' }), reason('refused', /does not know the user 'nobody'/));
  await t.rejects(open({ password: 'a password of more than 20' }), reason('refused', /26 bytes; IPMI 2.0 allows 20/));
  await t.rejects(open({ username: 'a name of more than 16' }), reason('refused', /up to 16 bytes/));
  await t.rejects(open({ bmcKey: 'there is none' }), reason('refused', /or the BMC key/));
  for (const error of [await open({ password: 'wrong-secret' }).catch((e: Error) => e)])
    t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /wrong-secret/, 'no secret in an error');
  const withKey = await fake(t, { bmcKey: 'the BMC key' });
  t.equal((await withKey.open({ bmcKey: 'the BMC key', lookup: 'nameAndPrivilege' })).cipherSuite, 17);
  const users = await fake(t, { maxPrivilege: 2 });
  await t.rejects(users.open(), reason('refused', /as operator for 'twinstep': unauthorized role/));
  const user = await users.open({ privilege: 'user' });
  await t.rejects(user.chassisControl('off'), { name: 'IpmiError', reason: 'refused', completionCode: 0xd4 });
});

t.test('nobody there', async (t) => {
  const { bmc, target } = await fake(t);
  bmc.hangs = true;
  await t.rejects(openIpmi({ ...target, retries: 1 }), reason('unreachable', /does not answer within 200 ms$/));
  const { port } = bmc;
  const closed = await FakeBmc.start(CREDENTIALS);
  const gone = closed.port;
  closed.close();
  await t.rejects(openIpmi({ ...target, port: gone, retries: 1 }), reason('unreachable', /within 200 ms \(ECONNREFUSED\)/));
  await t.rejects(openIpmi({ ...target, address: 'bmc.example' }), reason('unreachable', /no IP address/));
  await t.rejects(openIpmi({ ...target, port, localAddress: '192.0.2.1' }), reason('unreachable', /from 192\.0\.2\.1/));
});

t.test('a hang in a session, and the end of it', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open({ retries: 1 });
  bmc.hangs = true;
  await t.rejects(session.chassisStatus(), reason('lost', /answered before, and does not answer getChassisStatus within 200 ms/));
  bmc.hangs = false;
  t.equal((await session.chassisStatus()).on, true, 'the session itself has not ended');
  bmc.forgetSessions();
  await t.rejects(session.chassisStatus(), reason('lost', /./));
});

t.test('cycle and reset are asked once', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open();
  bmc.fault = (packet, direction) => (direction === 'out' ? [] : [packet]);
  await t.rejects(session.chassisControl('cycle'), reason('lost', /./));
  t.equal(bmc.commands.filter((c) => c === '0.2').length, 1);
  await t.rejects(session.chassisControl('off'), reason('lost', /./));
  t.equal(bmc.commands.filter((c) => c === '0.2').length, 5, 'off as often as it takes');
});

const FAULTS: [string, FakeBmc['fault']][] = [
  ['every fifth packet is lost', (p, _, n) => (n % 5 === 3 ? [] : [p])],
  ['everything comes twice', (p) => [p, p]],
  ['every fifth packet is damaged', (p, _, n) => (n % 5 === 3 ? [damage(p)] : [p])],
  ['garbage before each packet', (p) => [randomBytes(40), p.subarray(0, 20), ...(isSealed(p) ? [damage(p)] : []), Buffer.alloc(0), p]],
];

/** The codes of RAKP are all that a handshake has: damage there looks like a wrong password, once. */
function isSealed(packet: Buffer): boolean {
  return ((packet[5] ?? 0) & 0x40) !== 0;
}

function damage(packet: Buffer): Buffer {
  const b = Buffer.from(packet);
  b[b.length - 1] = (b[b.length - 1] ?? 0) ^ 0x55;
  b[20] = (b[20] ?? 0) ^ 0x10;
  return b;
}

for (const [name, fault] of FAULTS) {
  t.test(name, async (t) => {
    const { bmc, open } = await fake(t);
    bmc.fault = fault;
    const session = await open({ timeoutMs: 50, retries: 10 });
    for (let i = 0; i < 5; i++) t.equal((await session.chassisStatus()).on, true);
    t.match(await session.sensors(), [{ name: 'CPU Temp' }]);
  });
}

t.test('answers of yesterday are not believed', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open({ retries: 0 });
  const seen: Buffer[] = [];
  bmc.fault = (packet, direction) => {
    if (direction === 'out') seen.push(packet);
    return [packet];
  };
  t.equal((await session.chassisStatus()).on, true);
  await session.chassisControl('off');
  // From now on the first answer ("on") is all that comes.
  bmc.fault = (packet, direction) => (direction === 'out' ? seen.slice(0, 1) : [packet]);
  await t.rejects(session.chassisStatus(), reason('lost', /./), 'rather none than a replayed one');
});

t.test('slow, busy, in a hurry', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open();
  bmc.delayMs = 60;
  t.equal((await session.chassisStatus()).on, true, 'slow');
  bmc.delayMs = 0;
  let busy = 2;
  const answer = bmc.machine.answer.bind(bmc.machine);
  bmc.machine.answer = (...a) => (busy-- > 0 ? Buffer.from([0xc0]) : answer(...a));
  t.equal((await session.deviceId()).deviceId, 32, 'busy at first');
  const all = Array.from({ length: 70 }, () =>
    session.chassisStatus().then(
      () => 'answered',
      (e: IpmiError) => e.reason,
    ),
  );
  t.strictSame(new Set(await Promise.all(all)), new Set(['answered', 'busy']), 'the queue has an end');
});

t.test('records that change while they are read', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open();
  let parts = 0;
  bmc.fault = (packet: Buffer, direction: Direction) => {
    if (direction === 'in' && ++parts === 6) bmc.machine.loseReservation();
    return [packet];
  };
  t.match(await session.sdrRecords(), [{ sensor: { name: 'CPU Temp' } }]);
  t.ok(bmc.commands.filter((c) => c === '10.34').length > 1, 'reserved again');
});

t.test('what is no answer', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open();
  bmc.machine.answer = () => Buffer.from([0]);
  await t.rejects(session.chassisStatus(), reason('garbled', /chassis status of 0 bytes/));
  await t.rejects(session.sensors(), reason('garbled', /./));
  bmc.machine.answer = () => Buffer.alloc(0);
});

t.test('kept open, given up', async (t) => {
  const { bmc, open } = await fake(t);
  const session = await open({ keepAliveMs: 40 });
  const asked = new Promise<void>((resolve) => {
    const answer = bmc.machine.answer.bind(bmc.machine);
    bmc.machine.answer = (...a) => {
      if (a[1] === 1) resolve();
      return answer(...a);
    };
  });
  await asked;
  t.pass('asked by itself');
  await session.close();

  const abort = new AbortController();
  const given = await open({ signal: abort.signal });
  bmc.hangs = true;
  const question = given.chassisStatus();
  abort.abort();
  await t.rejects(question, reason('aborted', /given up/));
  await t.rejects(given.chassisStatus(), reason('aborted', /./), 'and for good');
  await t.rejects(open({ signal: AbortSignal.abort() }), reason('aborted', /./));
});
