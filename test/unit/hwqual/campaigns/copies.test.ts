// The campaign of what is done to copies seldom: what it orders, and what makes a step fail. Two real files stand for the copies.
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { CoServerName } from '../../../../appliance/core/snapshot.ts';
import { CopiesRun, type CopiesStep } from '../../../../hwqual/campaigns/copies-campaign.ts';
import type { FillingLoad } from '../../../../hwqual/campaigns/guest-load.ts';
import type { PairStatus } from '../../../../hwqual/campaigns/lab-control.ts';
import { FakeClock, FakeLab } from './fake-pair.ts';

const MIB = 2 ** 20;
const FILLED_MIB = 24;

interface Trouble {
  /** The copies that do not give back what is trimmed. */
  keeps?: CoServerName[];
  differ?: boolean;
  dirty?: boolean;
  complains?: boolean;
  /** Of a disk that is refused. */
  writesAnyway?: boolean;
  adoptsAnything?: boolean;
  comparesLittle?: boolean;
  reason?: string;
}

class FakeCopiesLab extends FakeLab {
  readonly folder = mkdtempSync(join(tmpdir(), 'copies-'));
  readonly #trouble: Trouble;
  #refused = false;
  #adoptedAt = 0;

  constructor(clock: FakeClock, trouble: Trouble) {
    super(clock);
    this.#trouble = trouble;
    for (const server of ['A', 'B'] as const) this.shape(server, 0);
  }

  shape(server: CoServerName, mib: number): void {
    writeFileSync(this.copyPath(server), Buffer.alloc(mib * MIB, 7));
    truncateSync(this.copyPath(server), 32 * MIB);
  }
  copyPath(server: CoServerName): string {
    return join(this.folder, server);
  }
  override async compareCopies() {
    return { identical: !this.#trouble.differ, detail: 'compared' };
  }
  async checkDisk() {
    return { clean: !this.#trouble.dirty, detail: 'Block bitmap differences' };
  }
  async swapDisk(server: CoServerName, how: string): Promise<string> {
    this.actions.push(`${how} ${server}`);
    this.#refused = true;
    return how;
  }
  override async powerOn(server: CoServerName): Promise<void> {
    await super.powerOn(server);
    if (!this.#refused || !this.#trouble.writesAnyway) return;
    const file = openSync(this.copyPath(server), 'r+');
    writeSync(file, 'x', 5);
    closeSync(file);
  }
  async act(server: CoServerName, action: string, typed?: string): Promise<void> {
    if (typed !== 'adopt' && !this.#trouble.adoptsAnything) throw new Error('it wants a word');
    this.actions.push(`${action} ${server}`);
    this.#refused = false;
    this.#adoptedAt = this.clock.now();
    copyFileSync(this.copyPath('A'), this.copyPath('B'));
  }
  override async status(): Promise<PairStatus> {
    const pictures = await super.status();
    const { reason = 'The disk belongs to another pair.', comparesLittle } = this.#trouble;
    const unused = { severity: 'critical' as const, title: '', row: null, leftMs: null, endsWhen: [], ways: [] };
    const disk = { sizeBytes: 32 * MIB, repairedBlocks: 0, quarantined: [], scrub: null, lateMs: 0 };
    for (const picture of [pictures.A, pictures.B]) {
      if (picture === null) continue;
      picture.disk = disk;
      if (this.#refused && picture.coServer === 'B') picture.attention.push({ kind: 'diskRefused', sentence: reason, ...unused });
      const text = `B is equal: ${comparesLittle ? 4.19 : 33.6} MB compared, 1.05 MB copied`;
      if (this.#adoptedAt > 0) picture.timeline.push({ at: this.#adoptedAt, atMs: 0, coServer: 'A', severity: 'info', row: null, text });
    }
    return pictures;
  }
}

class FakeFillingLoad implements FillingLoad {
  passes = 0;
  readonly #lab: FakeCopiesLab;
  readonly #trouble: Trouble;

  constructor(lab: FakeCopiesLab, trouble: Trouble) {
    this.#lab = lab;
    this.#trouble = trouble;
  }
  async fill(): Promise<void> {
    for (const server of ['A', 'B'] as const) this.#lab.shape(server, FILLED_MIB);
  }
  async trim(): Promise<number> {
    for (const server of ['A', 'B'] as const) if (!this.#trouble.keeps?.includes(server)) this.#lab.shape(server, 0);
    return FILLED_MIB * MIB;
  }
  async freeze(): Promise<void> {}
  async rest(): Promise<void> {}
  async thaw(): Promise<void> {}
  async close(): Promise<void> {}
  async status() {
    this.passes++;
    const jobs = [{ name: 'fio', passes: this.passes, writtenKiB: 1, checkedKiB: 1, failure: '' }];
    return this.#trouble.complains
      ? { jobs, complaintCount: 1, complaints: ['I/O error, dev vda'] }
      : { jobs, complaintCount: 0, complaints: [] };
  }
}

async function run(trouble: Trouble, what: 'trim' | 'adopt'): Promise<{ step: CopiesStep; actions: string[] }> {
  const clock = new FakeClock();
  const lab = new FakeCopiesLab(clock, trouble);
  try {
    const copies = new CopiesRun({ lab, load: new FakeFillingLoad(lab, trouble), clock });
    const step = await copies.step(what, what === 'trim' ? copies.trim : copies.adopt('otherPair', /another pair/));
    return { step, actions: lab.actions };
  } finally {
    rmSync(lab.folder, { recursive: true });
  }
}

t.test('a trim: both copies must give the space back', async (t) => {
  const { step } = await run({}, 'trim');
  t.strictSame(step.problems, []);
  t.match(step.found.join('\n'), /space taken before, filled, trimmed: A 0.0 MiB -> 24.0 MiB -> 0.0 MiB; B 0.0/);
  for (const server of ['A', 'B'] as const)
    t.match((await run({ keeps: [server] }, 'trim')).step.problems, [/not so within 30 s: both copies have given space back/], server);
});

t.test('whatever was done: copies, file systems and the guest are looked at', async (t) => {
  t.match((await run({ differ: true }, 'trim')).step.problems, [/the copies differ/]);
  t.match((await run({ dirty: true }, 'trim')).step.problems, [/copy of A are damaged/, /copy of B are damaged/]);
  t.match((await run({ complains: true }, 'trim')).step.problems, [/kernel complains: I\/O error/]);
});

t.test("another pair's disk: refused, untouched, adopted by its word alone, compared as a whole", async (t) => {
  const { step, actions } = await run({}, 'adopt');
  t.strictSame(step.problems, []);
  t.same(actions, ['off B', 'otherPair B', 'on B', 'adopt-disk B']);
  const problem = async (trouble: Trouble) => (await run(trouble, 'adopt')).step.problems;
  t.match(await problem({ writesAnyway: true }), [/was refused, and has changed/]);
  t.match(await problem({ adoptsAnything: true }), [/adopt-disk was accepted with nothing typed/]);
  t.match(await problem({ comparesLittle: true }), [/only 4.0 MiB were compared/]);
  t.match(await problem({ reason: 'The disk is full.' }), [/refuses its disk for another reason: The disk is full/]);
});
