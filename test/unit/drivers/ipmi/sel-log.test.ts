// The event log is followed: each entry is told once, whatever the log does meanwhile.
import fc from 'fast-check';
import t from 'tap';
import { Bmc } from '../../../../drivers/ipmi/bmc.ts';
import { FakeMachine } from '../../../../drivers/ipmi/fake-machine.ts';
import type { SelNews } from '../../../../drivers/ipmi/index.ts';
import { IpmiError } from '../../../../drivers/ipmi/types.ts';

function follow() {
  const machine = new FakeMachine();
  const { log } = machine;
  const asked: string[] = [];
  log.onAsked = (what) => asked.push(what);
  const bmc = new Bmc({
    name: 'the BMC',
    close: async () => undefined,
    command: async (netFn, _lun, command, data) => {
      const answer = machine.answer(netFn, command, data);
      return { completionCode: answer[0] ?? 0xff, data: answer.subarray(1) };
    },
  });
  const follower = bmc.followSel();
  const ids = async () => (await follower.poll()).entries.map((e) => e.id);
  return { machine, log, asked, bmc, follower, ids };
}

const OVERHEATED = [0x01, 0x01, 0x01, 0x59, 85, 80] as const;

/** Two polls: the second one lets a log that changed settle. */
async function settle(f: ReturnType<typeof follow>): Promise<void> {
  await f.follower.poll();
  await f.follower.poll();
  f.asked.length = 0;
}

t.test('all at first, then the new ones; one short question while nothing happens', async (t) => {
  const f = follow();
  t.strictSame(await f.ids(), [1]);
  await settle(f);
  t.strictSame(await f.ids(), []);
  t.strictSame(f.asked, ['info']);
  f.log.nowS++;
  f.log.add(...OVERHEATED);
  f.log.add(...OVERHEATED);
  f.asked.length = 0;
  t.strictSame(await f.ids(), [2, 3]);
  t.equal(f.asked.filter((a) => a === 'entry').length, 3, 'the last known one and the new ones');
  t.strictSame(await f.ids(), []);
});

t.test('an empty log, and its first entry', async (t) => {
  const f = follow();
  f.log.entries.length = 0;
  t.strictSame(await f.ids(), []);
  f.log.add(...OVERHEATED);
  t.strictSame(await f.ids(), [2]);
});

t.test('cleared: what follows is new, also under old ids', async (t) => {
  const f = follow();
  for (let i = 0; i < 5; i++) f.log.add(...OVERHEATED);
  await settle(f);
  f.log.nowS += 10;
  f.log.clear();
  const cleared = await f.follower.poll();
  t.strictSame([cleared.entries, cleared.wasCleared], [[], true]);
  f.log.nowS += 10;
  f.log.add(...OVERHEATED);
  t.strictSame(await f.ids(), [1]);

  // Cleared and filled again between two polls, to the same number of entries.
  await settle(f);
  f.log.nowS += 10;
  f.log.clear();
  f.log.nowS++;
  f.log.add(...OVERHEATED);
  const again = await f.follower.poll();
  t.strictSame([again.entries.map((e) => e.id), again.wasCleared], [[1], true]);

  // A BMC without a clock writes the very bytes that were there before.
  const clockless = follow();
  clockless.log.nowS = 0xffffffff;
  clockless.log.entries.length = 0;
  clockless.log.nextId = 1;
  clockless.log.add(...OVERHEATED);
  await settle(clockless);
  clockless.log.clear();
  clockless.log.lastEraseS = 5;
  clockless.log.add(...OVERHEATED);
  clockless.log.add(0x0c, 5, 0x6f, 0xa1, 0xff, 0xff);
  t.strictSame(await clockless.ids(), [1, 2]);
});

t.test('cleared while it is read', async (t) => {
  const f = follow();
  for (let i = 0; i < 5; i++) f.log.add(...OVERHEATED);
  let entries = 0;
  f.log.onAsked = (what) => {
    if (what !== 'entry' || ++entries !== 3) return;
    f.log.nowS += 5;
    f.log.clear();
    f.log.add(0x0c, 5, 0x6f, 0xa1, 0xff, 0xff);
  };
  const news = await f.follower.poll();
  t.strictSame(
    news.entries.map((e) => e.event?.sensorType),
    [0x0c],
    'of the log as it is now',
  );
});

t.test('one entry deleted: the others are not told again', async (t) => {
  const f = follow();
  for (let i = 0; i < 5; i++) f.log.add(...OVERHEATED);
  await settle(f);
  f.log.nowS += 10;
  f.log.entries.splice(-1, 1);
  f.log.lastEraseS = f.log.nowS;
  t.strictSame(await f.ids(), []);
  f.log.nowS++;
  f.log.add(...OVERHEATED);
  t.strictSame(await f.ids(), [7]);
});

t.test('full: what is lost is said; a ring goes on', async (t) => {
  const f = follow();
  f.log.limit = 3;
  for (let i = 0; i < 5; i++) f.log.add(...OVERHEATED);
  const news: SelNews = await f.follower.poll();
  t.strictSame([news.entries.length, news.overflow], [3, true]);

  const ring = follow();
  ring.log.limit = 4;
  ring.log.isRing = true;
  for (let i = 0; i < 6; i++) ring.log.add(...OVERHEATED);
  await settle(ring);
  ring.log.nowS++;
  ring.log.add(...OVERHEATED);
  t.strictSame(await ring.ids(), [8]);
  // Within the same second nothing in the head changes.
  ring.log.add(...OVERHEATED);
  t.strictSame(await ring.ids(), [9]);
  await settle(ring);
  // More than the ring holds, between two polls: the last known one is gone.
  ring.log.nowS++;
  for (let i = 0; i < 10; i++) ring.log.add(...OVERHEATED);
  t.strictSame(await ring.ids(), [16, 17, 18, 19]);
});

t.test('ids that wrap', async (t) => {
  const f = follow();
  f.log.limit = 5;
  f.log.isRing = true;
  f.log.nextId = 0xfffc;
  const told: number[] = [];
  for (let i = 0; i < 8; i++) {
    f.log.nowS++;
    f.log.add(...OVERHEATED);
    told.push(...(await f.ids()));
  }
  t.strictSame(told, [1, 0xfffc, 0xfffd, 0xfffe, 1, 2, 3, 4, 5]);
});

t.test('a log in a circle, and one that fails half way', async (t) => {
  const f = follow();
  f.log.add(...OVERHEATED);
  const { machine } = f;
  const answer = machine.answer.bind(machine);
  machine.answer = (netFn, command, data) => {
    const b = answer(netFn, command, data);
    // The last one leads to the first.
    if (command === 0x43 && b.readUInt16LE(1) === 0xffff) b.writeUInt16LE(1, 1);
    return b;
  };
  t.strictSame(await f.ids(), [1, 2]);
  machine.answer = answer;
  await settle(f);
  f.log.nowS++;
  f.log.add(...OVERHEATED);
  f.log.add(...OVERHEATED);
  let left = 2;
  machine.answer = (netFn, command, data) => (command === 0x43 && left-- === 0 ? Buffer.from([0xff]) : answer(netFn, command, data));
  await t.rejects(f.follower.poll(), { name: 'IpmiError', reason: 'rejected' });
  machine.answer = answer;
  t.strictSame(await f.ids(), [3, 4], 'nothing is lost by it');
});

t.test('whatever happens to the log, each entry is told once, and none is left out that stayed in it', async (t) => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('add' as const), count: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 4, arbitrary: fc.constant({ kind: 'poll' as const, count: 0 }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'clear' as const, count: 0 }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), count: fc.nat(8) }) },
  );
  const runs = 500;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.integer({ min: 2, max: 8 }), fc.boolean(), async (steps, limit, isRing) => {
      const f = follow();
      Object.assign(f.log, { limit, isRing });
      const told = new Set<string>();
      const poll = async () => {
        for (const entry of (await f.follower.poll()).entries) {
          const key = entry.bytes.toString('hex');
          if (told.has(key)) throw new Error(`told twice: ${key}`);
          told.add(key);
        }
      };
      for (const { kind, count } of steps) {
        f.log.nowS++;
        if (kind === 'add') for (let i = 0; i < count; i++) f.log.add(0x01, 0x01, 0x01, 0x59, count, i);
        else if (kind === 'clear') f.log.clear();
        else if (kind === 'delete' && count < f.log.entries.length) {
          f.log.entries.splice(count, 1);
          f.log.lastEraseS = f.log.nowS;
        } else await poll();
      }
      await poll();
      for (const entry of f.log.entries) if (!told.has(entry.toString('hex'))) throw new Error(`left out: ${entry.toString('hex')}`);
    }),
    { numRuns: runs },
  );
  t.pass(`${runs} runs`);
});

t.test('in words', async (t) => {
  const f = follow();
  f.log.entries.length = 0;
  const events: [Parameters<typeof f.log.add>, object][] = [
    [
      [...OVERHEATED],
      { what: 'temperature', where: 'CPU Temp', text: 'CPU Temp: Upper critical going high, at 85 C, threshold 80 C', asserted: true },
    ],
    [[0x01, 0x01, 0x81, 0x59, 70, 80], { what: 'temperature', asserted: false, text: /\(ended\)$/ }],
    [
      [0x0c, 0x05, 0x6f, 0xa0, 0xff, 0x03],
      { what: 'memoryCorrected', where: 'Memory (sensor 0x05)', text: /Correctable ECC, bytes ff 03$/ },
    ],
    [[0x0c, 0x05, 0x6f, 0x31, 0xff, 0x03], { what: 'memoryUncorrected', where: 'Memory (sensor 0x05), module 3' }],
    [[0x0c, 0x05, 0x6f, 0x05, 0xff, 0xff], { what: 'memoryLogFull' }],
    [[0x10, 0x05, 0x6f, 0x00, 0xff, 0xff], { what: 'memoryLogFull' }],
    [[0x10, 0x05, 0x6f, 0x02, 0xff, 0xff], { what: 'logCleared', text: 'Event log (sensor 0x05): Log area cleared' }],
    [[0x07, 0x06, 0x6f, 0x00, 0xff, 0xff], { what: 'processorError', text: 'Processor (sensor 0x06): IERR' }],
    [[0x07, 0x06, 0x6f, 0x01, 0xff, 0xff], { what: 'processorThermalTrip' }],
    [[0x07, 0x06, 0x6f, 0x0c, 0xff, 0xff], { what: 'other' }],
    [[0x08, 0x07, 0x6f, 0x00, 0xff, 0xff], { what: 'other', text: /Presence detected/ }],
    [[0x08, 0x07, 0x6f, 0x01, 0xff, 0xff], { what: 'powerSupplyFailed' }],
    [[0x08, 0x07, 0x6f, 0x02, 0xff, 0xff], { what: 'powerSupplyPredictive' }],
    [[0x08, 0x07, 0xef, 0x03, 0xff, 0xff], { what: 'powerSupplyInputLost', asserted: false }],
    [[0x04, 0x08, 0x01, 0x02, 0xff, 0xff], { what: 'fan', text: 'Fan (sensor 0x08): Lower critical going low' }],
    [[0x04, 0x08, 0x08, 0x01, 0xff, 0xff], { what: 'other', text: /Device present/ }],
    [[0x02, 0x08, 0x05, 0x01, 0xff, 0xff], { what: 'voltage', text: /Limit exceeded/ }],
    [[0x0d, 0x09, 0x6f, 0x01, 0xff, 0xff], { what: 'driveFault' }],
    [[0x0d, 0x09, 0x6f, 0x02, 0xff, 0xff], { what: 'drivePredictive' }],
    [[0x13, 0x0a, 0x6f, 0xaa, 0x01, 0x02], { what: 'pcieFatal', text: /Bus fatal error, bytes 01 02/ }],
    [[0x13, 0x0a, 0x6f, 0xa7, 0x01, 0x02], { what: 'pcieCorrected' }],
    [[0x23, 0x0b, 0x6f, 0xc1, 0x04, 0xff], { what: 'watchdog', text: 'Watchdog (sensor 0x0b): Hard reset, timer of SMS/OS' }],
    [[0xc7, 0x0b, 0x71, 0x05, 0xff, 0xff], { what: 'other', text: 'Sensor type 0xc7 (sensor 0x0b): State 5 of event type 0x71' }],
  ];
  for (const [event] of events) f.log.add(...event);
  const readings = await f.bmc.selReadings((await f.follower.poll()).entries);
  for (const [i, [, wanted]] of events.entries()) {
    t.match(readings[i], wanted);
    if ('where' in wanted) t.equal(readings[i]?.where, wanted.where);
  }
  t.equal(readings[0]?.timeS, 0x60000000);
  t.strictSame(await f.bmc.selReadings([]), []);
  // A time that counts from the BMC's start, and a maker's own record.
  f.log.nowS = 100;
  f.log.add(...OVERHEATED);
  f.log.entries.at(-1)?.writeUInt8(0xc0, 2);
  const own = await f.bmc.selReadings((await f.follower.poll()).entries);
  t.match(own, [{ timeS: null, what: 'other', text: /^A maker's own entry of type 0xc0: [0-9a-f]{32}$/ }]);
  await t.rejects(
    new Bmc({ name: 'x', close: async () => undefined, command: async () => Promise.reject(new IpmiError('lost', 'gone')) })
      .followSel()
      .poll(),
    { name: 'IpmiError', reason: 'lost' },
  );
});
