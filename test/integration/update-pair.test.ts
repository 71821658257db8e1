// The update of a pair with two processes, links over loopback, and files for disks: it travels, the secondary starts again first, the workload moves, the
// other one follows. Then the same while either of them is killed at random moments, and what it had not flushed is lost. "Starting again" is a new
// process with the version that the boot loader takes from its disk. The test stands for the core: where the guest is, and whether the pair is duplex.
import { type ChildProcess, fork } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { applyPowerLoss, type Dice, seededDice } from '../../hwqual/lab/power-loss.ts';
import { volatileCacheEnvironment, volatileCacheLibrary } from '../../hwqual/lab/volatile-cache.ts';
import { fatFileSystem } from '../../image/disk/fat.ts';
import { FileDisk } from '../unit/appliance/update/file-disk.ts';
import { bundle, ESP_BYTES, KEYS, Machine, stream, version } from '../unit/appliance/update/machine.ts';
import type { FromParent, FromSide, SideSetup } from './update-pair-side.ts';

t.setTimeout(3_600_000);

const STORIES = Number(process.env.TWINSTEP_PAIR_UPDATES ?? 3);
const KILLS_IN_ONE = 4;
const SLOT_BYTES = 4 << 20;
const OLD = version('1.0.0', 3 << 20, 1 << 20);
const NEW = version('1.1.0', 2 << 20, 1 << 20);
const SIDE = join(import.meta.dirname, 'update-pair-side.ts');
const LONGEST_MS = 900_000;
/** A partner that is up for so long is duplex again. */
const JOIN_MS = 300;

type Name = 'A' | 'B';
const OTHER = { A: 'B', B: 'A' } as const;
const ADDRESSES = { A: '127.0.31.1', B: '127.0.31.2' };

class Pair {
  readonly sides: Record<Name, Side>;
  guestAt: Name = 'A';
  readonly seen: string[] = [];
  readonly problems: string[] = [];
  #isOver = false;

  constructor(folder: string, library: string, isBad: Partial<Record<Name, string>> = {}) {
    const side = (name: Name) => new Side(this, name, join(folder, name), library, isBad[name] ?? '');
    this.sides = { A: side('A'), B: side('B') };
  }

  get isDuplex(): boolean {
    return Object.values(this.sides).every((s) => s.upSince !== null && performance.now() - s.upSince > JOIN_MS);
  }

  /** As the core would: who is down has no guest when the other one follows. */
  tellAll(): void {
    const now = `${this.versions()}, guest on ${this.guestAt}`;
    if (this.seen.at(-1) !== now) this.seen.push(now);
    for (const side of Object.values(this.sides)) {
      const role = this.guestAt === side.name ? 'primary' : this.isDuplex ? 'secondary' : 'none';
      side.tell({ now: { role, isDuplex: this.isDuplex } });
    }
  }

  versions(): string {
    return `${this.sides.A.machine.running.version} ${this.sides.B.machine.running.version}`;
  }

  async until(what: string, fits: () => boolean): Promise<void> {
    const end = performance.now() + LONGEST_MS;
    while (!fits()) {
      if (performance.now() > end) throw new Error(`${what}: not reached; ${this.story()}`);
      this.tellAll();
      await sleep(50);
    }
    this.tellAll();
  }

  story(): string {
    const { A, B } = this.sides;
    return [`${this.versions()}, guest on ${this.guestAt}`, ...A.told, ...B.told, A.status.text, B.status.text].join('\n');
  }

  get isEnded(): boolean {
    return Object.values(this.sides).every((s) => s.status.state === 'done' || s.status.state === 'stopped');
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(Object.values(this.sides).map((s) => s.down()));
  }
}

class Side {
  readonly machine: Machine<FileDisk>;
  readonly name: Name;
  readonly told: string[] = [];
  readonly answers: object[] = [];
  readonly compatible: (readonly string[])[] = [];
  upSince: number | null = null;
  status = { state: null as string | null, text: '', hears: false };
  restarts = 0;
  /** By the test: whoever is asked at this moment cannot know. */
  killedAt = Number.NEGATIVE_INFINITY;
  readonly #pair: Pair;
  readonly #folder: string;
  readonly #library: string;
  readonly #bad: string;
  #process: ChildProcess | null = null;

  constructor(pair: Pair, name: Name, folder: string, library: string, bad: string) {
    this.#pair = pair;
    this.name = name;
    this.#folder = folder;
    this.#library = library;
    this.#bad = bad;
    for (const path of ['disks', 'undo', 'state']) mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, 'engine'), '#!/bin/sh\necho "QEMU emulator version 11.1.3"\n');
    chmodSync(join(folder, 'engine'), 0o755);
    const disk = (file: string, bytes: number, data: Parameters<typeof FileDisk.make>[2]) => {
      FileDisk.make(join(folder, 'disks', file), bytes, data);
      return new FileDisk(join(folder, 'disks', file), bytes);
    };
    const program = { path: `EFI/Linux/twinstep_${OLD.version}.efi`, data: OLD.program };
    const esp = disk('esp', ESP_BYTES, fatFileSystem([program], ESP_BYTES, { volumeId: 1, label: 'TWINSTEP' }));
    const slots = { a: disk('a', SLOT_BYTES, [{ offset: 0, data: OLD.slot }]), b: disk('b', SLOT_BYTES, []) };
    this.machine = new Machine({ esp, slots, running: { version: OLD.version, slot: 'a' }, folder: join(folder, 'state') });
  }

  get place(): SideSetup['place'] {
    const device = (name: string, bytes: number) => ({ path: join(this.#folder, 'disks', name), bytes });
    return {
      ...this.machine.running,
      slots: { a: device('a', SLOT_BYTES), b: device('b', SLOT_BYTES) },
      esp: device('esp', ESP_BYTES),
      recordFile: join(this.#folder, 'state/update.json'),
      lockFile: join(this.#folder, 'lock'),
    };
  }

  start(): void {
    const setup: SideSetup = {
      coServer: this.name,
      place: this.place,
      key: KEYS.publicKey.export({ type: 'spki', format: 'pem' }) as string,
      address: ADDRESSES[this.name],
      peer: ADDRESSES[OTHER[this.name]],
      engine: join(this.#folder, 'engine'),
      isBad: this.machine.running.version === this.#bad,
    };
    const environment = volatileCacheEnvironment(this.#library, [join(this.#folder, 'disks')], join(this.#folder, 'undo'));
    const child = fork(SIDE, [JSON.stringify(setup)], {
      execArgv: ['--no-warnings'],
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#process = child;
    child.on('message', (m: FromSide) => this.#hear(m));
    child.once('exit', (code) => {
      if (code !== null && code !== 0) this.#pair.problems.push(`${this.name} ended with ${code}`);
    });
    if (setup.isBad) setTimeout(() => child === this.#process && void this.again(), 1_000);
  }

  tell(m: FromParent): void {
    if (this.#process?.connected) this.#process.send(m);
  }

  /** Its power goes: the guest goes on on the other one, if that one follows. */
  async down(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#process = null;
    const wasDuplex = this.#pair.isDuplex;
    this.upSince = null;
    if (this.#pair.guestAt === this.name && wasDuplex) this.#pair.guestAt = OTHER[this.name];
    this.#pair.tellAll();
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    applyPowerLoss(join(this.#folder, 'undo'), [join(this.#folder, 'disks')], this.restarts);
  }

  async again(): Promise<void> {
    if (!this.#process || this.#pair.isOver) return;
    this.restarts += 1;
    await this.down();
    await this.machine.start();
    if (!this.#pair.isOver) this.start();
  }

  #hear(m: FromSide): void {
    const pair = this.#pair;
    const other = pair.sides[OTHER[this.name]];
    // A word that was on its way when its power went.
    if (!this.#process) return;
    switch (m.kind) {
      case 'ready':
        this.upSince = performance.now();
        this.compatible.push(m.compatible);
        break;
      case 'status':
        this.status = m;
        break;
      case 'told':
        this.told.push(`${this.name}: ${m.text}`);
        break;
      case 'answer':
        this.answers.push(m.answer);
        break;
      case 'move':
        if (pair.isDuplex && pair.guestAt === this.name) pair.guestAt = other.name;
        break;
      case 'restartServer':
        if ((pair.guestAt === this.name || other.upSince === null) && performance.now() - other.killedAt > 2_000)
          pair.problems.push(`${this.name} starts again and leaves the guest alone`);
        void this.again();
        break;
      case 'restartProcess':
        pair.problems.push(`${this.name} changes its level for nothing`);
        break;
      default:
        m satisfies never;
    }
    pair.tellAll();
  }
}

async function begin(
  t: { teardown(f: () => Promise<void>): void },
  library: string,
  isBad: Partial<Record<Name, string>> = {},
): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-update-pair-'));
  const pair = new Pair(folder, library, isBad);
  t.teardown(async () => {
    await pair.end();
    rmSync(folder, { recursive: true, force: true });
  });
  const { A, B } = pair.sides;
  const { machine } = A;
  const files = { esp: machine.esp, a: machine.slots.a, b: machine.slots.b } as Record<string, FileDisk>;
  const { UpdateStore } = await import('../../appliance/update/update-store.ts');
  const store = new UpdateStore({ ...A.place, keys: [KEYS.publicKey] }, async ({ path }) => {
    const disk = files[path.split('/').at(-1) ?? ''];
    if (!disk) throw new Error(path);
    return disk.store();
  });
  await store.receive(stream(bundle(NEW), 1 << 16));
  await store.activate();
  A.start();
  B.start();
  await pair.until('both are heard', () => A.status.hears && B.status.hears && pair.isDuplex);
  A.tell({ ask: 'start' });
  await pair.until('begun', () => A.answers.length > 0);
  return pair;
}

t.test('the update of a pair', async (t) => {
  t.setTimeout(3_600_000);
  const cache = mkdtempSync(join(tmpdir(), 'twinstep-update-pair-library-'));
  t.teardown(() => rmSync(cache, { recursive: true, force: true }));
  const library = await volatileCacheLibrary(cache);
  let tookMs = 0;

  await t.test('undisturbed', async (t) => {
    const pair = await begin(t, library);
    const began = performance.now();
    t.strictSame(pair.sides.A.answers, [{ accepted: true, detail: { version: '1.1.0' } }]);
    await pair.until('done', () => pair.isEnded);
    tookMs = performance.now() - began;
    t.strictSame(
      pair.seen,
      ['1.0.0 1.0.0, guest on A', '1.0.0 1.1.0, guest on A', '1.0.0 1.1.0, guest on B', '1.1.0 1.1.0, guest on B'],
      pair.story(),
    );
    t.strictSame(
      [pair.sides.A.status.state, pair.sides.B.status.state, pair.sides.A.restarts, pair.sides.B.restarts],
      ['done', 'done', 1, 1],
    );
    t.strictSame(pair.sides.B.compatible, [[], ['1.0.0']], 'the new version says that it runs beside the old one');
    t.strictSame(pair.problems, []);
    t.comment(`${Math.round(tookMs / 1000)} s`);
  });

  await t.test('a version that does not become healthy on the first one', async (t) => {
    const pair = await begin(t, library, { B: '1.1.0' });
    await pair.until('stopped', () => pair.isEnded);
    t.strictSame([pair.versions(), pair.guestAt, pair.sides.A.status.state], ['1.0.0 1.0.0', 'A', 'stopped']);
    t.match(pair.sides.A.status.text, /1\.1\.0 did not become healthy/);
    t.equal(pair.sides.A.restarts, 0);
    t.strictSame(pair.problems, []);
  });

  const seed = Number(process.env.TWINSTEP_SEED ?? Date.now() % 1_000_000);
  t.comment(`TWINSTEP_SEED=${seed}`);
  const dice = seededDice(seed);
  const ends: Record<string, number> = {};
  for (let story = 0; story < STORIES; story++)
    await t.test(`killed at random moments, ${story + 1}`, async (t) => {
      const pair = await begin(t, library);
      const moments = killsWithin(tookMs * 1.2, dice);
      const killer = kill(pair, moments);
      await pair.until('ended', () => pair.isEnded);
      await killer;
      const end = `${pair.versions()} ${pair.sides.A.status.state}`;
      ends[end] = (ends[end] ?? 0) + 1;
      if (pair.sides.A.status.state === 'done') t.equal(pair.versions(), '1.1.0 1.1.0', pair.story());
      // Three starts of a trial that were cut short are a version that does not become healthy.
      else t.match(pair.sides.A.status.text, /did not become healthy/, pair.story());
      t.strictSame(pair.problems, [], pair.story());
    });
  t.comment(JSON.stringify(ends));
});

function killsWithin(ms: number, dice: Dice): { afterMs: number; name: Name }[] {
  const kills = Array.from({ length: 1 + dice(KILLS_IN_ONE) }, () => ({
    afterMs: dice(Math.ceil(ms)),
    name: dice(2) === 0 ? ('A' as const) : ('B' as const),
  }));
  return kills.sort((x, y) => x.afterMs - y.afterMs);
}

async function kill(pair: Pair, moments: readonly { afterMs: number; name: Name }[]): Promise<void> {
  const began = performance.now();
  for (const { afterMs, name } of moments) {
    await sleep(Math.max(0, began + afterMs - performance.now()));
    if (pair.isOver) return;
    pair.sides[name].killedAt = performance.now();
    await pair.sides[name].again();
  }
}
