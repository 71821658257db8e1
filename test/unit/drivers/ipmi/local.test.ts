// The BMC of this machine: over a kernel's device that is faked at its messages, and the real addon on files that are no IPMI device.
import { readdirSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { FakeIpmiDevice } from '../../../../drivers/ipmi/fake-local.ts';
import { type IpmiError, type LocalIpmiOptions, openLocalIpmi } from '../../../../drivers/ipmi/index.ts';

const QUICK = { timeoutMs: 60, probeMs: 20 };

function reason(name: string, message: RegExp) {
  return { name: 'IpmiError', reason: name, message };
}

async function open(t: { teardown: (fn: () => unknown) => void }, device = new FakeIpmiDevice(), options: LocalIpmiOptions = {}) {
  const bmc = await openLocalIpmi('/dev/ipmi0', { ...QUICK, native: device, ...options });
  t.teardown(() => bmc.close());
  return { device, bmc };
}

/** Until the fake has been asked once more than now. */
function nextCommand(device: FakeIpmiDevice): Promise<void> {
  return new Promise((resolve) => {
    // A probe's timer keeps no process alive.
    const alive = setInterval(() => undefined, 1000);
    const answer = device.machine.answer.bind(device.machine);
    device.machine.answer = (...a) => {
      device.machine.answer = answer;
      clearInterval(alive);
      setImmediate(() => setImmediate(resolve));
      return answer(...a);
    };
  });
}

t.test('the same questions as over LAN', async (t) => {
  const { device, bmc } = await open(t);
  t.equal(bmc.name, 'the BMC of this machine (/dev/ipmi0)');
  t.match(await bmc.deviceId(), { deviceId: 32, firmware: '1.23', manufacturerId: 7154 });
  t.equal((await bmc.chassisStatus()).on, true);
  t.match(await bmc.sensorReadings(), [{ name: 'CPU Temp', kind: 'temperature', value: 45, unit: 'C', level: 'ok', side: null }]);
  t.equal((await bmc.selInfo()).entries, 1);
  const { completionCode, data } = await bmc.command(0x2e, 1, 0x99, Buffer.from([1]));
  t.equal(completionCode, 0xc1);
  t.equal(data.length, 0);
  t.equal(device.luns.at(-1), 1);
  await bmc.close();
  t.equal(device.openHandles, 0);
  t.notOk(bmc.isAnswering);
  await t.rejects(bmc.deviceId(), reason('lost', /it is closed/));
});

t.test('no device, no BMC', async (t) => {
  const absent = new FakeIpmiDevice();
  absent.absent = true;
  await t.rejects(
    open(t, absent),
    reason('unreachable', /^no BMC driver: there is no \/dev\/ipmi0 \(ENOENT\): load ipmi_si .*and ipmi_devintf/),
  );
  const refused = new FakeIpmiDevice();
  refused.openError = constants.errno.EACCES;
  await t.rejects(open(t, refused), reason('unreachable', /\/dev\/ipmi0 may not be opened \(EACCES\): this needs root/));
  const busy = new FakeIpmiDevice();
  busy.openError = constants.errno.EBUSY;
  await t.rejects(open(t, busy), reason('unreachable', /cannot be opened: EBUSY/));
  const hung = new FakeIpmiDevice();
  hung.hangs = true;
  await t.rejects(open(t, hung), reason('lost', /does not answer getDeviceId within 60 ms/));
  t.equal(hung.openHandles, 0, 'nothing stays open');
  await t.rejects(open(t, new FakeIpmiDevice(), { signal: AbortSignal.abort() }), reason('aborted', /given up/));
});

t.test('a BMC that hangs, and answers again', async (t) => {
  const { device, bmc } = await open(t);
  device.hangs = true;
  await t.rejects(bmc.chassisStatus(), reason('lost', /does not answer getChassisStatus within 60 ms/));
  t.notOk(bmc.isAnswering);
  const held = device.held;
  for (let i = 0; i < 3; i++) await t.rejects(bmc.selInfo(), reason('lost', /has not answered for \d+ s: nothing is asked of it until/));
  t.ok(device.held <= held + 1, 'refused without asking: at most the probe');
  const asked = nextCommand(device);
  device.hangs = false;
  await asked;
  t.ok(bmc.isAnswering, 'a late answer is one');
  t.equal((await bmc.chassisStatus()).on, true);
});

t.test('a BMC that lost what it was asked: a probe finds it again', async (t) => {
  const { device, bmc } = await open(t);
  device.garble = () => undefined;
  await t.rejects(bmc.chassisStatus(), reason('lost', /within 60 ms/));
  // The kernel gives up in its place: that is not the BMC's voice.
  device.garble = (answer) => ({ ...answer, data: Buffer.from([0xff]) });
  await nextCommand(device);
  await nextCommand(device);
  t.notOk(bmc.isAnswering);
  device.garble = (answer) => answer;
  await nextCommand(device);
  t.ok(bmc.isAnswering);
  t.equal((await bmc.chassisStatus()).on, true);
});

t.test('the kernel gives up on the BMC before we do', async (t) => {
  const { device, bmc } = await open(t, new FakeIpmiDevice(), { timeoutMs: 2000 });
  const stuck: FakeIpmiDevice['garble'] = (answer) => ({ ...answer, data: Buffer.from([0xc3]) });
  device.garble = stuck;
  await t.rejects(
    bmc.chassisStatus(),
    reason('rejected', /no response in time \(0xc3\)/),
    'at once: the BMC itself says so of one command',
  );
  t.ok(bmc.isAnswering);
  device.hangs = true;
  setTimeout(() => {
    device.hangs = false;
  }, 1100);
  await t.rejects(bmc.chassisStatus(), reason('lost', /does not answer getChassisStatus: the kernel gave up on it after 1\d\d\d ms/));
  await t.rejects(bmc.chassisStatus(), reason('lost', /nothing is asked of it/));
  device.garble = (answer) => answer;
  await nextCommand(device);
  t.ok(bmc.isAnswering);
  device.garble = stuck;
  await t.rejects(bmc.deviceId(), reason('lost', /does not answer getDeviceId: the kernel gave up/), 'of its device id it never does');
});

t.test('answers that are none', async (t) => {
  const { device, bmc } = await open(t);
  device.garble = (answer) => ({ ...answer, data: Buffer.from([0, 1]) });
  await t.rejects(bmc.chassisStatus(), reason('garbled', /a chassis status of 1 bytes, not 3/));
  device.garble = (answer) => ({ ...answer, data: Buffer.from([0xff]) });
  await t.rejects(bmc.chassisStatus(), reason('rejected', /does not specify/));
  for (const wrong of [{ netFn: 0x0b }, { command: 0x55 }, { id: 12345 }]) {
    device.garble = (answer) => ({ ...answer, ...wrong });
    await t.rejects(bmc.chassisStatus(), reason('lost', /within 60 ms/), JSON.stringify(wrong));
    device.garble = (answer) => answer;
    await nextCommand(device);
  }
  device.refusesSend = true;
  await t.rejects(bmc.chassisStatus(), reason('lost', /\/dev\/ipmi0 does not take a command: EIO/));
  device.refusesSend = false;
  t.equal((await bmc.chassisStatus()).on, true, 'and goes on');
});

t.test('the driver is unloaded, the caller gives up', async (t) => {
  const { device, bmc } = await open(t);
  device.hangs = true;
  const question = bmc.chassisStatus();
  device.unload();
  await t.rejects(question, reason('lost', /\/dev\/ipmi0 has ended \(ENODEV\): was its driver unloaded\?/));
  await t.rejects(bmc.deviceId(), reason('lost', /has ended/), 'for good');

  const one = await open(t);
  one.device.hangs = true;
  const given = new AbortController();
  const asked = one.bmc.command(0, 0, 1, Buffer.alloc(0), { signal: given.signal });
  given.abort();
  await t.rejects(asked, reason('aborted', /given up/));
  one.device.hangs = false;
  t.equal((await one.bmc.chassisStatus()).on, true, 'only that command was given up');

  const all = new AbortController();
  const other = await open(t, new FakeIpmiDevice(), { signal: all.signal });
  other.device.hangs = true;
  const last = other.bmc.chassisStatus();
  all.abort();
  await t.rejects(last, reason('aborted', /given up/));
  t.equal(other.device.openHandles, 0);
});

t.test('one at a time, and not without end', async (t) => {
  const { device, bmc } = await open(t);
  device.hangs = true;
  const all = Array.from({ length: 70 }, () =>
    bmc.chassisStatus().then(
      () => 'answered',
      (e: IpmiError) => e.reason,
    ),
  );
  await new Promise(setImmediate);
  t.equal(device.held, 1, 'the others wait');
  device.hangs = false;
  const ends = await Promise.all(all);
  t.equal(ends.filter((e) => e === 'answered').length, 64);
  t.equal(ends.filter((e) => e === 'busy').length, 6);
});

t.test('the real addon: what is no IPMI device is said so', async (t) => {
  await t.rejects(
    openLocalIpmi('/dev/null'),
    reason('unreachable', /^\/dev\/null is no IPMI device \(ENOTTY\): give the kernel's, \/dev\/ipmi0$/),
  );
  await t.rejects(openLocalIpmi('/dev/ipmi-none'), reason('unreachable', /^no BMC driver: there is no \/dev\/ipmi-none \(ENOENT\)/));
  await t.rejects(openLocalIpmi('/tmp'), reason('unreachable', /^\/tmp is no IPMI device \(EISDIR\)/));
});

t.test('the real addon leaves nothing open, in threads that end either', async (t) => {
  const opened = () =>
    readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === 'anon_inode:[eventfd]' || linkOf(fd) === '/dev/null').length;
  const addon = new URL('../../../../drivers/ipmi/native/build/ipmi.node', import.meta.url).pathname;
  const code = `const { parentPort } = require('node:worker_threads'); const n = require(${JSON.stringify(addon)});
    let left = 20; const handles = [];
    for (let i = 0; i < 20; i++) handles.push(n.open('/dev/null', (kind, id, error) => { if (--left === 0) parentPort.postMessage(error); }));
    for (const h of handles.slice(0, 10)) n.close(h);
    setInterval(() => undefined, 1000);`;
  const before = opened();
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(code, { eval: true });
    const error = await new Promise((resolve, fail) => {
      worker.once('message', resolve);
      worker.once('error', fail);
    });
    t.equal(error, constants.errno.ENOTTY);
    await worker.terminate();
  }
  // The addon's threads end by themselves.
  while (opened() > before) await new Promise(setImmediate);
  t.ok(opened() <= before);
});

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}
