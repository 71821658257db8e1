import fc from 'fast-check';
import t from 'tap';
import { FakeCounters } from '../../../../drivers/counters/fake.ts';
import { CountersError, decodeDiskstats, decodeNic, readDisks, readNics } from '../../../../drivers/counters/index.ts';

// As Linux 6.18, 4.19 and 2.6.32 print them.
const LINUX_6 = '   8       0 sda 6159 3 1349064 13705 4223 11 1646306 3411 2 7460 17354 5 0 640 21 50 237';
const LINUX_4 = ' 259       0 nvme0n1 100 1 2048 30 200 2 4096 60 0 80 90 0 0 0 0';
const LINUX_2 = ' 104       0 cciss!c0d0 1 2 3 4 5 6 7 8 9 10 11';
const LOOP = '   7       0 loop0 1 0 1 1 1 0 1 1 0 1 1 0 0 0 0 0 0';
const CASES_MIN = 10_000;

function onlyOwnError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof CountersError)) throw error;
  }
}

t.test('disk statistics of all ages', async (t) => {
  t.same(decodeDiskstats([LINUX_6, LINUX_4, LINUX_2, ''].join('\n')), [
    {
      disk: '/dev/sda',
      reads: 6159,
      readMs: 13705,
      writes: 4223,
      writeMs: 3411,
      inFlight: 2,
      busyMs: 7460,
      discards: 5,
      flushes: 50,
      flushMs: 237,
    },
    {
      disk: '/dev/nvme0n1',
      reads: 100,
      readMs: 30,
      writes: 200,
      writeMs: 60,
      inFlight: 0,
      busyMs: 80,
      discards: 0,
      flushes: 0,
      flushMs: 0,
    },
    { disk: '/dev/cciss/c0d0', reads: 1, readMs: 4, writes: 5, writeMs: 8, inFlight: 9, busyMs: 10, discards: 0, flushes: 0, flushMs: 0 },
  ]);
  t.same(decodeDiskstats(`${LINUX_6} 1 2 3`)[0]?.flushMs, 237, 'numbers of a kernel to come');
  t.throws(() => decodeDiskstats('8 0 sda 1 2 3'), /a line of 3 numbers, 11 at least/);
  t.throws(() => decodeDiskstats(LINUX_2.replace(' 9 ', ' -9 ')), /"-9" for a count/);
});

t.test('disks of the machine: real ones only, and none that went away', async (t) => {
  const fake = new FakeCounters();
  t.teardown(() => fake.close());
  await t.rejects(readDisks(fake), { name: 'CountersError', message: /diskstats is not there/ });
  fake.disks([LOOP, LINUX_6, `   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11`, LINUX_2], ['sda', 'cciss!c0d0', 'sdz']);
  t.same(
    (await readDisks(fake)).map(({ disk }) => disk),
    ['/dev/cciss/c0d0', '/dev/sda'],
  );
});

t.test('a NIC: with carrier, without, down, of unknown speed, gone', async (t) => {
  const fake = new FakeCounters();
  t.teardown(() => fake.close());
  fake.nic('link1', { statistics: { rx_packets: 10, tx_packets: 5, rx_errors: 3, rx_missed_errors: 2, tx_errors: 1 }, changes: 7 });
  fake.nic('link2', { carrier: '0', speed: '-1', duplex: 'unknown' });
  fake.nic('lan0', { carrier: null });
  fake.nic('mgmt0', { speed: '4294967295', duplex: 'half' });
  const wanted = [
    { nic: 'link1', role: 'link' },
    { nic: 'link2', role: 'link' },
    { nic: 'lan0', role: 'business' },
    { nic: 'mgmt0', role: 'management' },
    { nic: 'eth9', role: 'link' },
  ] as const;
  const { nics, missing } = await readNics(wanted, fake);
  t.same(missing, ['eth9']);
  t.same(nics[0], {
    nic: 'link1',
    role: 'link',
    carrier: true,
    speedMbps: 1000,
    fullDuplex: true,
    frames: 15,
    receiveErrors: 3,
    transmitErrors: 1,
    carrierChanges: 7,
  });
  t.match(nics[1], { carrier: false, speedMbps: null, fullDuplex: null });
  t.match(nics[2], { nic: 'lan0', role: 'business', carrier: false, speedMbps: null, fullDuplex: null });
  t.match(nics[3], { carrier: true, fullDuplex: false });
  fake.removeNic('link1');
  t.same((await readNics(wanted, fake)).missing, ['link1', 'eth9']);
  fake.nic('link1', { statistics: { rx_errors: 'many' } });
  await t.rejects(readNics(wanted, fake), /link1\/statistics\/rx_errors has "many"/);
  for (const nic of ['', '..', 'a/b', 'a b', 'x'.repeat(16)])
    await t.rejects(readNics([{ nic, role: 'link' }], fake), /is no name of a NIC/, nic);
});

t.test("this machine's own files", async (t) => {
  const { nics } = await readNics([{ nic: 'lo', role: 'management' }]);
  t.match(nics, [{ nic: 'lo', carrier: true, receiveErrors: 0 }]);
  t.ok(Array.isArray(await readDisks()));
});

t.test('whatever the kernel prints: readings, or CountersError', async () => {
  const word = fc.oneof(fc.nat().map(String), fc.string({ maxLength: 12 }), fc.constantFrom('-1', '18446744073709551615', 'sda', '!', ''));
  const line = fc.array(word, { maxLength: 24 }).map((words) => words.join(' '));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 4 }), (lines) => onlyOwnError(() => decodeDiskstats(lines.join('\n')))),
    { numRuns: CASES_MIN },
  );
  const file = fc.constantFrom(
    'carrier',
    'carrier_changes',
    'speed',
    'duplex',
    ...['rx_packets', 'tx_errors'].map((f) => `statistics/${f}`),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(file, word)), (files) => onlyOwnError(() => decodeNic(new Map(files), 'eth0', 'link'))),
    { numRuns: CASES_MIN },
  );
});
