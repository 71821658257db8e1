// durability: write-through. What was acknowledged is on stable media of both copies at that moment, with no flush asked for.
import { existsSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { LosableStore, Power, random } from './losable-store.ts';
import { MirrorPair, until } from './mirror-pair.ts';

const SIZE_BYTES = 256 * 1024;
const SEGMENT_BYTES = 512 * 1024;
const SECTOR_BYTES = 512;
const SEEDS = Number(process.env.MIRROR_SEEDS ?? 12);
t.setTimeout(60_000 + SEEDS * 2_000);

interface Missing {
  here: number;
  there: number;
}

/** Both lose power while writes are under way; answers how many acknowledged ones are on no stable medium of either. */
async function life(seed: number, isWriteThrough: boolean): Promise<Missing & { acknowledged: number }> {
  const chance = random(seed);
  const powers = { A: new Power(Infinity, random(seed + 1)), B: new Power(Infinity, random(seed + 2)) };
  const stores = new Map<string, LosableStore>();
  const pair = new MirrorPair({
    sizeBytes: SIZE_BYTES,
    isWriteThrough,
    openStore: async ({ path, sizeBytes }) => {
      const name = basename(path);
      const store = new LosableStore(powers[name.includes('-A') ? 'A' : 'B'], Buffer.alloc(Math.min(sizeBytes, SEGMENT_BYTES)));
      stores.set(name, store);
      return store;
    },
  });
  await pair.protect();
  const isJournaled = seed % 2 === 1;
  if (isJournaled) pair.a.interval.current = 1;
  const guest = await pair.a.connect();
  const acknowledged: number[] = [];
  const last = 5 + Math.floor(chance() * 60);
  await new Promise<void>((resolve) => {
    const worker = async (first: number): Promise<void> => {
      for (let sector = first; sector < SIZE_BYTES / SECTOR_BYTES; sector += 8) {
        await guest.write(sector * SECTOR_BYTES, mark(sector));
        if (powers.A.isOff) return;
        acknowledged.push(sector);
        if (acknowledged.length < last) continue;
        powers.A.isOff = true;
        powers.B.isOff = true;
        resolve();
        return;
      }
    };
    for (let i = 0; i < 8; i++) void worker(i).catch(() => undefined);
  });
  const after = (name: string): Buffer => stores.get(name)?.afterLoss(chance) ?? Buffer.alloc(0);
  const here = after('disk-A');
  // Not committed, it is in the journal: kept there, and given up together with its copy's interval if the primary is well.
  const there = isJournaled ? Buffer.concat([after('journal-B.0'), after('journal-B.1')]) : after('disk-B');
  guest.destroy();
  // The disks answer no more: the exports close, and the commands that close them never end.
  for (const side of [pair.a, pair.b]) {
    side.mirror.call('close', {}, 1_000).catch(() => undefined);
    await until(() => !existsSync(side.setup.socketPath), 'the export is closed');
    side.end();
  }
  // What is noted beside the disk may still be on its way.
  rmSync(pair.directory, { recursive: true, force: true, maxRetries: 10 });
  const isAt = (bytes: Buffer, sector: number): boolean =>
    bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES).equals(mark(sector));
  return {
    acknowledged: acknowledged.length,
    here: acknowledged.filter((s) => !isAt(here, s)).length,
    there: acknowledged.filter((s) => (isJournaled ? !there.includes(mark(s)) : !isAt(there, s))).length,
  };
}

/** Told from that of any other sector. */
function mark(sector: number): Buffer {
  const b = Buffer.alloc(SECTOR_BYTES, 0x80 | (sector & 0x7f));
  b.writeUInt32BE(sector, 0);
  return b;
}

t.test('every acknowledged write survives that both lose power; without the option some do not', async (t) => {
  let lost = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    const { acknowledged, here, there } = await life(seed, true);
    t.ok(acknowledged >= 5 && here === 0 && there === 0, `seed ${seed}: of ${acknowledged}, ${here} are not here, ${there} not there`);
    const without = await life(seed, false);
    lost += without.here + without.there;
  }
  t.ok(lost > 0, `${lost} were lost without it: the disks here do lose what is not flushed`);
});
