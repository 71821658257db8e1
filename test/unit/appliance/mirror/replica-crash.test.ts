// Power is lost at every single request of scripted runs: the copy must be the last committed interval, whole, or what the primary had
// at a later moment, not before its last flush; or the secondary's own view, once its takeover is durable.
import t from 'tap';
import { Journal } from '../../../../appliance/mirror/journal.ts';
import { Replica } from '../../../../appliance/mirror/replica.ts';
import { writeRuns } from '../../../../appliance/mirror/write-runs.ts';
import { LosableStore, Power, random } from './losable-store.ts';

const DISK_BYTES = 192 * 1024;
const SEGMENT_BYTES = 512 * 1024;
/** Small: segments are switched every few checkpoints. */
const SWITCH_BYTES = 24 * 1024;
const LIMITS = { journalMemoryBytes: 24 * 1024, overlayMemoryBytes: 16 * 1024 };

interface Machine {
  power: Power;
  disk: LosableStore;
  segments: [LosableStore, LosableStore];
}

type Lie = 'none' | 'disk' | 'journal';

function machine(lossAt: number, chance: () => number, images: Buffer[], lie: Lie): Machine {
  const power = new Power(lossAt, chance);
  const [d, a, b] = images;
  if (!d || !a || !b) throw new Error('three images');
  return {
    power,
    disk: new LosableStore(power, d, lie === 'disk'),
    segments: [new LosableStore(power, a, lie === 'journal'), new LosableStore(power, b, lie === 'journal')],
  };
}

const afterLoss = (m: Machine, chance: () => number): Buffer[] => [m.disk, ...m.segments].map((s) => s.afterLoss(chance));

async function open(m: Machine): Promise<{ journal: Journal; tookOver: boolean }> {
  const { journal, recovered } = await Journal.open(m.segments, DISK_BYTES, SWITCH_BYTES);
  await writeRuns(m.disk, recovered.patches.runs());
  await m.disk.flush();
  await journal.reset();
  return { journal, tookOver: recovered.tookOver };
}

/** What must be on the disk, as the script has come to know it. */
interface Truth {
  /** Before anything was written in this life. Undefined: interval 0 is on the way, nothing is promised until the first commit. */
  base: Buffer | undefined;
  /** What the primary had, write by write: from the last commit or flush that was answered on. */
  states: Buffer[];
  /** The last interval whose `decide` was answered. */
  answered: number;
  /** The secondary's view at a takeover that was begun. */
  view: Buffer | undefined;
  /** The end of this life was answered: nothing but this. */
  final: Buffer | undefined;
}

/** The same seed does the same things: two lives of a replica on the same disks. Ends when they end. */
async function script(seed: number, m: Machine, truth: Truth): Promise<void> {
  const chance = random(seed);
  const { journal } = await open(m);
  for (let n = 0; n < 2; n++) {
    truth.base = Buffer.from(m.disk.content);
    truth.states = [];
    truth.answered = 0;
    truth.view = undefined;
    truth.final = undefined;
    await life(`seed ${seed}, life ${n}`, chance, m, journal, truth);
  }
}

async function life(name: string, chance: () => number, m: Machine, journal: Journal, truth: Truth): Promise<void> {
  const below = (n: number): number => Math.floor(chance() * n);
  const scratch = new LosableStore(m.power, Buffer.alloc(1024 * 1024));
  const replica = new Replica({ disk: m.disk, journal, openScratch: async () => scratch, onError: () => {}, limits: LIMITS });
  const primary = Buffer.from(m.disk.content);
  let secondary = Buffer.from(primary);
  let interval = 0;
  let mark = 1;
  let open0: Promise<void>[] = [];
  const range = (): { offset: number; length: number } => {
    const length = chance() < 0.2 ? 1 + below(9000) : 512 * (1 + below(16));
    return { offset: below(DISK_BYTES - length), length };
  };
  const overlaps: { offset: number; length: number }[] = [];
  const primaryWrites = async (): Promise<void> => {
    const { offset, length } = range();
    // The source sends no two overlapping writes at a time.
    if (overlaps.some((o) => o.offset < offset + length && o.offset + o.length > offset)) {
      await Promise.all(open0);
      open0 = [];
      overlaps.length = 0;
    }
    overlaps.push({ offset, length });
    const byte = mark++ % 255;
    const fua = chance() < 0.05;
    if (chance() < 0.15) {
      primary.fill(0, offset, offset + length);
      open0.push(replica.zero(interval, offset, length, fua));
    } else {
      const data = Buffer.alloc(length, byte);
      data.copy(primary, offset);
      open0.push(replica.write(interval, offset, data, fua));
    }
    if (interval > 0) truth.states.push(Buffer.from(primary));
  };
  /** What is there now is the least that is left. */
  const promised = (state: Buffer): void => {
    truth.states.splice(0, truth.states.indexOf(state));
  };
  const drain = async (): Promise<void> => {
    await Promise.all(open0);
    open0 = [];
    overlaps.length = 0;
  };
  truth.base = undefined;
  for (let i = below(10); i > 0; i--) await primaryWrites();
  await drain();
  secondary = Buffer.from(primary);
  interval = 1;
  for (let step = 0; step < 45; step++) {
    const x = chance();
    if (x < 0.4) await primaryWrites();
    else if (x < 0.65) {
      const { offset, length } = range();
      if (chance() < 0.15) {
        secondary.fill(0, offset, offset + length);
        replica.guestZero(offset, length, chance() < 0.5);
      } else {
        const data = Buffer.alloc(length, mark++ % 255);
        data.copy(secondary, offset);
        await replica.guestWrite(offset, data);
      }
    } else if (x < 0.85) {
      const { offset, length } = range();
      const got = await replica.read(offset, length);
      if (!got.equals(secondary.subarray(offset, offset + length)))
        throw new Error(`${name}, step ${step}: the secondary read something else than its view`);
    } else if (x < 0.9) {
      await drain();
      const content = Buffer.from(primary);
      truth.states.push(content);
      await replica.flush();
      if (truth.answered > 0) promised(content);
    } else {
      await drain();
      const content = Buffer.from(primary);
      truth.states.push(content);
      const decided = replica.decide(interval);
      interval++;
      // A primary that does not wait for the secondary is in the next interval already.
      const early = chance() < 0.5;
      if (early) for (let i = below(4); i > 0; i--) await primaryWrites();
      await decided;
      truth.answered = interval - 1;
      promised(content);
      if (early) for (let i = below(4); i > 0; i--) await primaryWrites();
      await replica.apply(interval - 1);
      secondary = Buffer.from(content);
    }
  }
  const ending = chance();
  if (ending < 0.2) {
    await drain();
    await replica.collapse();
    truth.final = Buffer.from(primary);
  } else if (ending < 0.8) {
    truth.view = Buffer.from(secondary);
    await replica.takeOver();
    truth.final = truth.view;
  } else {
    await drain();
    await replica.stop();
    truth.final = Buffer.from(primary);
  }
  if (!m.disk.content.equals(truth.final)) throw new Error(`${name}: the copy is not what it must be at the end`);
}

/** Undefined: right. Else what is wrong. */
async function afterwards(truth: Truth, images: Buffer[], chance: () => number): Promise<string | undefined> {
  let merged = false;
  let found = images;
  for (let attempt = 0; ; attempt++) {
    // The replay may lose power as well.
    const m = machine(attempt < 3 && chance() < 0.6 ? Math.floor(chance() * 40) : Number.POSITIVE_INFINITY, chance, found, 'none');
    const opened = await Promise.race([open(m), m.power.lost]);
    if (opened) {
      merged ||= opened.tookOver;
      found = [Buffer.from(m.disk.content)];
      break;
    }
    found = afterLoss(m, chance);
  }
  const disk = found[0];
  if (!disk) return 'no disk';
  const equals = (b: Buffer | undefined): boolean => b?.equals(disk) ?? false;
  if (truth.final) return equals(truth.final) ? undefined : 'not what the end promised';
  if (equals(truth.view)) return undefined;
  if (merged) return 'a merged overlay that is not the view';
  if (truth.states.some(equals)) return undefined;
  if (truth.answered === 0 && (!truth.base || equals(truth.base))) return undefined;
  return `nothing that the primary had (answered ${truth.answered})`;
}

async function run(seed: number, lossAt: number, lie: Lie): Promise<{ requests: number; wrong: string | undefined }> {
  const chance = random(seed * 7919 + 1);
  const images = [Buffer.alloc(DISK_BYTES, 0xee), Buffer.alloc(SEGMENT_BYTES), Buffer.alloc(SEGMENT_BYTES)];
  const m = machine(lossAt, chance, images, lie);
  const truth: Truth = { base: undefined, states: [], answered: 0, view: undefined, final: undefined };
  await Promise.race([script(seed, m, truth), m.power.lost]);
  const dice = random(seed * 31 + (Number.isFinite(lossAt) ? lossAt : 0));
  return { requests: m.power.requests, wrong: await afterwards(truth, afterLoss(m, dice), dice) };
}

const SEEDS = Number(process.env.MIRROR_SEEDS ?? 5);
t.setTimeout(60_000 + SEEDS * 6_000);

t.test('power lost at every request', async (t) => {
  let runs = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { requests, wrong } = await run(seed, Number.POSITIVE_INFINITY, 'none');
    t.equal(wrong, undefined, `seed ${seed}, ${requests} requests, no loss before the end`);
    for (let at = 0; at < requests; at++) {
      const r = await run(seed, at, 'none');
      runs++;
      if (r.wrong) t.fail(`seed ${seed}, loss at request ${at}: ${r.wrong}`);
    }
  }
  t.comment(`${runs} losses of power`);
});

for (const lie of ['disk', 'journal'] as const) {
  t.test(`the test notices flushes of the ${lie} that do nothing`, async (t) => {
    let wrong = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const { requests } = await run(seed, Number.POSITIVE_INFINITY, lie);
      for (let at = 0; at < requests; at += 3) if ((await run(seed, at, lie)).wrong) wrong++;
    }
    t.ok(wrong > 0, `${wrong} wrong copies`);
  });
}
