// The verified power-off against BMCs of every character: success exactly where the server was read as off twice, and a named reason for
// everything else.
import t from 'tap';
import { FakeBmc } from '../../../../drivers/ipmi/fake.ts';
import { type IpmiOptions, type PowerOffOptions, type PowerOffStep, powerOffVerified, readPower } from '../../../../drivers/ipmi/index.ts';

const CREDENTIALS = { username: 'twinstep', password: 'only-for-tests' };

async function fake(t: { teardown: (fn: () => unknown) => void }) {
  const bmc = await FakeBmc.start(CREDENTIALS);
  t.teardown(() => bmc.close());
  const target: IpmiOptions = { address: '127.0.0.1', port: bmc.port, ...CREDENTIALS, timeoutMs: 100, retries: 1 };
  return { bmc, target };
}

const QUICK: PowerOffOptions = { readGapMs: 50, deadlineMs: 5000 };
const SHORT: PowerOffOptions = { readGapMs: 50, deadlineMs: 600 };

function kinds(steps: readonly PowerOffStep[]): string {
  return steps.map((s) => s.step).join(' ');
}

function refusal(reason: string, message = /./) {
  return { name: 'PowerOffError', reason, message };
}

t.test('a server goes off', async (t) => {
  const { bmc, target } = await fake(t);
  const heard: PowerOffStep[] = [];
  const evidence = await powerOffVerified(target, { ...QUICK, onStep: (s) => heard.push(s) });
  t.notOk(bmc.machine.running);
  t.equal(kinds(evidence.steps), 'opening opened offSent offAcknowledged readOff opening opened readOff verified');
  t.strictSame(heard, evidence.steps);
  t.ok(evidence.secondOffMs - evidence.firstOffMs >= 50, 'the gap');
  t.equal(bmc.sessionsOpened, 2, 'the second read in a session of its own');
  t.match(evidence, { cipherSuite: 17, device: { deviceId: 32 }, guid: (await readPower(target)).guid });
  // It is off already: the same again.
  t.ok((await powerOffVerified(target, QUICK)).steps.length > 0);
});

t.test('one that takes its time, rejects the command of a server that is off, or comes back on', async (t) => {
  const { bmc, target } = await fake(t);
  bmc.machine.readingsUntilOff = 2;
  const slow = await powerOffVerified(target, QUICK);
  t.match(kinds(slow.steps), /offAcknowledged readOn readOn readOff .*readOff verified$/);
  bmc.machine.behaviour = 'rejects';
  t.match(kinds((await powerOffVerified(target, QUICK)).steps), /offRejected readOff .*readOff verified$/);
  bmc.machine.running = true;
  await t.rejects(powerOffVerified(target, SHORT), refusal('stillOn'), 'rejected, and on');
  bmc.machine.behaviour = 'bounces';
  const bounced: PowerOffStep[] = [];
  await t.rejects(powerOffVerified(target, { ...SHORT, onStep: (s) => bounced.push(s) }), refusal('stillOn'), 'off once, then on again');
  t.notMatch(kinds(bounced), /verified/);
});

t.test('one that lies', async (t) => {
  const { bmc, target } = await fake(t);
  bmc.machine.behaviour = 'ignores';
  const steps: PowerOffStep[] = [];
  await t.rejects(
    powerOffVerified(target, { ...SHORT, onStep: (s) => steps.push(s) }),
    refusal('stillOn', /not read as off twice within 600 ms/),
    'acknowledges and does nothing',
  );
  t.match(kinds(steps), /offAcknowledged readOn .*failed$/);
  // This lie is beyond the BMC: only the server's missing carrier unmasks it. The evidence says what was read, no more.
  bmc.machine.behaviour = 'pretends';
  const evidence = await powerOffVerified(target, QUICK);
  t.ok(bmc.machine.running, 'and the server runs');
  t.equal(evidence.steps.at(-1)?.step, 'verified');
});

t.test('no way in', async (t) => {
  const { bmc, target } = await fake(t);
  await t.rejects(powerOffVerified({ ...target, password: 'wrong' }, QUICK), refusal('refused', /refused the password for 'twinstep'/));
  await t.rejects(powerOffVerified({ ...target, username: 'nobody' }, QUICK), refusal('refused'));
  await t.rejects(powerOffVerified({ ...target, privilege: 'user' }, QUICK), refusal('refused', /the user may not do this/));
  t.ok(bmc.machine.running);
  bmc.hangs = true;
  await t.rejects(powerOffVerified(target, QUICK), refusal('unreachable', /does not answer within 200 ms/));
  await t.rejects(powerOffVerified({ ...target, retries: 100 }, SHORT), refusal('unreachable'), 'by the deadline too');
  await t.rejects(powerOffVerified(target, { ...QUICK, signal: AbortSignal.abort() }), refusal('aborted'));
});

t.test('one that hangs in the middle', async (t) => {
  for (const point of ['opened', 'offSent', 'offAcknowledged', 'readOff'] as const) {
    const { bmc, target } = await fake(t);
    const hang = (s: PowerOffStep) => {
      if (s.step === point) bmc.hangs = true;
    };
    await t.rejects(powerOffVerified(target, { readGapMs: 50, deadlineMs: 900, onStep: hang }), refusal('lost'), `after ${point}`);
  }
});

t.test('one that does not tell its power state', async (t) => {
  const { bmc, target } = await fake(t);
  const answer = bmc.machine.answer.bind(bmc.machine);
  let untold = Number.POSITIVE_INFINITY;
  bmc.machine.answer = (netFn, command, data) =>
    netFn === 0 && command === 1 && untold-- > 0 ? Buffer.from([0xff]) : answer(netFn, command, data);
  await t.rejects(powerOffVerified(target, SHORT), refusal('lost'));
  untold = 2;
  t.equal((await powerOffVerified(target, QUICK)).steps.at(-1)?.step, 'verified', 'but for a while it may');
});

t.test('one that is away for a while, and without its sessions', async (t) => {
  for (const point of ['opened', 'offSent', 'readOff'] as const) {
    const { bmc, target } = await fake(t);
    let silences = 0;
    const away = (s: PowerOffStep) => {
      if (s.step === point && silences === 0) {
        silences = 1;
        bmc.hangs = true;
        bmc.forgetSessions();
      }
      if (s.step === 'lost') bmc.hangs = false;
    };
    // After the first "off" the BMC is away when the second session is opened.
    const evidence = await powerOffVerified(target, { ...QUICK, onStep: away });
    t.equal(evidence.steps.at(-1)?.step, 'verified', `after ${point}`);
    t.notOk(bmc.machine.running);
  }
});

t.test('the caller gives up', async (t) => {
  const { bmc, target } = await fake(t);
  bmc.machine.behaviour = 'ignores';
  const abort = new AbortController();
  const given = powerOffVerified(target, { ...QUICK, signal: abort.signal, onStep: (s) => s.step === 'readOn' && abort.abort() });
  await t.rejects(given, refusal('aborted'));
});

t.test('a look changes nothing', async (t) => {
  const { bmc, target } = await fake(t);
  t.match(await readPower(target), { on: true, cipherSuite: 17 });
  t.notOk(bmc.commands.includes('0.2'));
  t.ok(bmc.commands.includes('6.60'), 'the session is closed again');
  bmc.hangs = true;
  await t.rejects(readPower(target), { name: 'IpmiError', reason: 'unreachable' } as object as Error);
});
