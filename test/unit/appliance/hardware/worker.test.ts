import { setImmediate } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { Reading } from '../../../../appliance/core/faults/types.ts';
import type { HardwareCommands, HardwareEvents } from '../../../../appliance/hardware/api.ts';
import { bmcReaders } from '../../../../appliance/hardware/bmc-readers.ts';
import { Absent, type Reader } from '../../../../appliance/hardware/reader.ts';
import { roomReader } from '../../../../appliance/hardware/room-reader.ts';
import { runHardwareWorker } from '../../../../appliance/hardware/worker.ts';
import { Caller } from '../../../../appliance/wire/rpc.ts';
import { FakeIpmiDevice } from '../../../../drivers/ipmi/fake-local.ts';
import { openLocalIpmi } from '../../../../drivers/ipmi/index.ts';
import { sensors, temperature } from '../core/faults/readings.ts';

type Test = { teardown: (fn: () => unknown) => void };

/** The thread's program on these readers; `faults()` awaits the next news. */
function run(t: Test, readers: Reader[]) {
  const { port1, port2 } = new MessageChannel();
  const caller = new Caller<HardwareCommands, HardwareEvents>('hardware', port1);
  const news: string[][] = [];
  let heard: (() => void) | null = null;
  caller.on('faults', ({ faults }) => {
    news.push(faults.map((f) => `${f.code} ${f.where}: ${f.detail}`.trim()));
    heard?.();
  });
  const worker = runHardwareWorker({ bmc: '', copy: '/nowhere', nics: [], stateDir: '' }, port2, readers);
  t.teardown(async () => {
    await worker.stop();
    port1.close();
  });
  const next = async (): Promise<string[]> => {
    if (news.length === 0)
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    return news.shift() ?? [];
  };
  return { caller, next };
}

function reader(source: Reader['source'], read: () => Reading | null | Promise<Reading | null>): Reader {
  return { source, everyMs: 1, read: async () => read() };
}

t.test('what is read twice is told; a source that hangs delays no other', async (t) => {
  const { caller, next } = run(t, [
    reader('smart', () => new Promise(() => undefined)),
    reader('sensors', () => sensors(temperature('CPU1 Temp', 85, 'critical'))),
  ]);
  t.strictSame(await next(), ['temperatureCritical CPU1 Temp: 85 C, too high, critical']);
  const status = await caller.call('status', {});
  t.match(status, {
    faults: [{ code: 'temperatureCritical' }],
    sources: [
      { source: 'smart', state: 'waiting' },
      { source: 'sensors', state: 'read', reason: '' },
    ],
    sensors: [{ name: 'CPU1 Temp' }],
  });
});

t.test('a source that cannot be read is a fault, one that is not there is none', async (t) => {
  const { caller, next } = run(t, [
    reader('memory', () => {
      throw new Absent('no memory controller driver');
    }),
    reader('cpu', () => {
      throw new Error('nonsense in /sys');
    }),
  ]);
  t.strictSame(await next(), ['sourceUnreadable the processor: nonsense in /sys']);
  t.match(await caller.call('status', {}), {
    sources: [
      { source: 'memory', state: 'absent', reason: 'no memory controller driver' },
      { source: 'cpu', state: 'failed' },
    ],
  });
});

t.test('the BMC: hung, it is told; it answers again, it is read again without a restart', async (t) => {
  const device = new FakeIpmiDevice();
  device.hangs = true;
  const readers = bmcReaders('/dev/ipmi0', (path) => openLocalIpmi(path, { timeoutMs: 30, probeMs: 10, native: device }));
  const { caller, next } = run(
    t,
    readers.map((r) => ({ ...r, everyMs: 5 })),
  );
  t.match(await next(), [/^bmcSilent : the BMC of this machine/]);
  device.hangs = false;
  for (;;) {
    const { sources } = await caller.call('status', {});
    if (sources.every((s) => s.state === 'read')) break;
    await setImmediate();
  }
  t.match((await caller.call('status', {})).sensors, [{ name: 'CPU Temp', value: 45 }]);
});

t.test('no BMC: the sentence says what to load', async (t) => {
  const device = new FakeIpmiDevice();
  device.absent = true;
  const { next } = run(
    t,
    bmcReaders('/dev/ipmi0', (path) => openLocalIpmi(path, { native: device })).map((r) => ({ ...r, everyMs: 1 })),
  );
  t.match(await next(), [/^bmcSilent : .*\/dev\/ipmi0.*ipmi_devintf/]);
});

t.test('the room of the state partition', async (t) => {
  const { caller } = run(t, [{ ...roomReader('/proc'), everyMs: 1 }]);
  await t.resolveMatch(roomReader(t.testdir()).read(), { source: 'room', room: { freeMiB: Number, totalMiB: Number } });
  // A file system without room: proc.
  for (;;) {
    const { faults } = await caller.call('status', {});
    if (faults.length === 0) await setImmediate();
    else {
      t.match(faults, [{ code: 'stateFull', where: '/proc', detail: '0 of 0 MiB are left' }]);
      break;
    }
  }
  await t.rejects(roomReader('').read(), { message: 'no state is kept' });
});
