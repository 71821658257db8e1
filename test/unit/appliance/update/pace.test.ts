// An update is written no faster than it may be, and time that it did not use is not made up for.
import t from 'tap';
import { paced, paceOf, UPDATE_BYTES_PER_SECOND } from '../../../../appliance/update/pace.ts';
import { bundle, folderFor, Machine, stream, version } from './machine.ts';

function clock() {
  let now = 5_000;
  const waits: number[] = [];
  return {
    waits,
    nowMs: () => now,
    wait: async (ms: number) => {
      waits.push(Math.round(ms));
      now += ms;
    },
    pass: (ms: number) => {
      now += ms;
    },
  };
}

t.test('not faster than that, less the time that the disk took itself', async (t) => {
  const c = clock();
  const pace = paceOf(1_000_000, c);
  await pace(100_000);
  t.strictSame(c.waits, [100], 'a disk that took no time');
  c.pass(60);
  await pace(100_000);
  t.strictSame(c.waits, [100, 40]);
  c.pass(60_000);
  for (let i = 0; i < 3; i++) await pace(100_000);
  t.strictSame(c.waits, [100, 40, 100, 100], 'a minute without work is no minute to make up for');
  t.ok(UPDATE_BYTES_PER_SECOND <= 50_000_000, 'a third of what a rotating disk does');
});

t.test('what is read back, too', async (t) => {
  const c = clock();
  async function* parts() {
    for (let i = 0; i < 3; i++) yield Buffer.alloc(1000);
  }
  let bytes = 0;
  for await (const part of paced(parts(), paceOf(1_000_000, c))) bytes += part.length;
  t.equal(bytes, 3000);
  t.strictSame(c.waits, [1, 1, 1]);
});

t.test('the store keeps to it, both ways', async (t) => {
  const update = version('1.1.0', 200_000, 100_000);
  const m = Machine.make([version('1.0.0')], folderFor(t));
  const [paced, steps]: number[][] = [[], []];
  await m.store().receive(stream(bundle(update)), {
    pace: async (bytes) => void paced?.push(bytes),
    onProgress: (done) => steps?.push(done),
  });
  t.equal(
    paced?.reduce((sum, bytes) => sum + bytes, 0),
    600_000,
    'written, and read back',
  );
  t.equal(steps?.at(-1), 300_000);
});
