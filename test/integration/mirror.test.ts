// Two mirror workers joined by the real channel over loopback, used by the engine's own tools as its guest would.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';
import t from 'tap';
import type { CommitCommands, MirrorCommands, MirrorEvents, MirrorSetup } from '../../appliance/mirror/api.ts';
import { IntervalCounter } from '../../appliance/wire/interval.ts';
import { Caller } from '../../appliance/wire/rpc.ts';
import { NbdClient } from '../../drivers/nbd/index.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import type { MirrorWorkerData } from './mirror-worker.ts';

t.setTimeout(180_000);
const run = promisify(execFile);
const MIB = 1024 * 1024;
const SIZE_BYTES = 64 * MIB;
/** Loopback addresses of this test alone. */
const ADDRESS = { A: ['127.0.41.1', '127.0.42.1'], B: ['127.0.41.2', '127.0.42.2'] } as const;
const ENGINE_ROOT = process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath();
const directory = mkdtempSync(join(tmpdir(), 'mirror-it-'));
const pairKey = randomBytes(32);
t.teardown(() => rmSync(directory, { recursive: true }));

class Side {
  readonly mirror: Caller<MirrorCommands, MirrorEvents>;
  readonly commit: Caller<CommitCommands, Record<string, never>>;
  readonly interval = new IntervalCounter();
  readonly setup: MirrorSetup;
  readonly lost: string[] = [];
  readonly #worker: Worker;

  constructor(name: 'A' | 'B') {
    const other = name === 'A' ? 'B' : 'A';
    this.setup = {
      channel: {
        stream: 'disk',
        side: name,
        links: [0, 1].map((i) => ({ localAddress: ADDRESS[name][i] ?? '', remoteAddress: ADDRESS[other][i] ?? '' })),
        pairKey,
      },
      interval: this.interval.buffer,
      diskPath: join(directory, `disk-${name}`),
      sizeBytes: SIZE_BYTES,
      journalPath: join(directory, `journal-${name}`),
      socketPath: join(directory, `nbd-${name}`),
    };
    const main = new MessageChannel();
    const commit = new MessageChannel();
    const workerData: MirrorWorkerData = { setup: this.setup, port: main.port1, commitPort: commit.port1 };
    this.#worker = new Worker(new URL('./mirror-worker.ts', import.meta.url), { workerData, transferList: [main.port1, commit.port1] });
    this.mirror = new Caller(`mirror ${name}`, main.port2);
    this.commit = new Caller(`commit ${name}`, commit.port2);
    this.mirror.on('lost', ({ reason }) => this.lost.push(reason));
  }

  disk(): Buffer {
    return readFileSync(this.setup.diskPath);
  }

  links(up: boolean): Promise<unknown> {
    return Promise.all([0, 1].map((link) => this.mirror.call('linkVerdict', { link, up })));
  }

  /** As a failure of the process does it: no last words. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** A tool of the engine's root, on an export: in a mount namespace of its own, with our directory at /mnt. */
async function tool(side: Side, ...argv: string[]): Promise<string> {
  const uri = `nbd+unix:///disk0?socket=/mnt/nbd-${side.setup.channel.side}`;
  const script = `mount --bind '${directory}' '${ENGINE_ROOT}/mnt' && exec chroot '${ENGINE_ROOT}' "$@"`;
  const { stdout, stderr } = await run('unshare', [
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    script,
    'sh',
    ...argv.map((a) => (a === 'URI' ? uri : a)),
  ]);
  return stdout + stderr;
}

const qemuIo = (side: Side, ...commands: string[]): Promise<string> =>
  tool(side, 'qemu-io', '-f', 'raw', '-d', 'unmap', ...commands.flatMap((c) => ['-c', c]), 'URI');
const skip =
  process.getuid?.() === 0 && existsSync(join(ENGINE_ROOT, 'usr/bin/qemu-io')) ? false : 'needs root and the engine (npm start builds it)';
const noLibnbd = existsSync('/usr/bin/nbdcopy') ? false : 'needs libnbd-bin (npm test installs it)';

async function bench(side: Side, label: string): Promise<void> {
  const c = await NbdClient.connect(side.setup.socketPath, 'disk0');
  const measure = async (bytes: number, depth: number, count: number): Promise<string> => {
    const data = randomBytes(bytes);
    let next = 0;
    const began = performance.now();
    const worker = async (): Promise<void> => {
      for (let i = next++; i < count; i = next++) await c.write(((i * 7919) % Math.floor(SIZE_BYTES / bytes)) * bytes, data);
    };
    await Promise.all(Array.from({ length: depth }, worker));
    const seconds = (performance.now() - began) / 1000;
    return `${bytes / 1024}k QD${depth}: ${Math.round(count / seconds)} /s, ${((count * bytes) / MIB / seconds).toFixed(0)} MiB/s`;
  };
  t.comment(`${label}: ${await measure(4096, 1, 500)}; ${await measure(4096, 32, 4000)}; ${await measure(131072, 16, 500)}`);
  await c.close();
}

t.test("the pair of copies under the engine's tools", { skip, timeout: 120_000 }, async (t) => {
  let a = new Side('A');
  let b = new Side('B');
  t.teardown(() => Promise.all([a.kill(), b.kill()]));
  writeFileSync(a.setup.diskPath, randomBytes(SIZE_BYTES));
  await a.mirror.call('open', {});
  await a.mirror.call('serveSolo', {});
  t.match(await tool(a, 'qemu-img', 'info', 'URI'), /virtual size: 64 MiB/);
  await bench(a, 'solo');

  await b.mirror.call('open', {});
  await b.mirror.call('startTarget', {});
  await a.mirror.call('startSource', {});
  const io = qemuIo(
    a,
    'aio_write -P 0x11 0 4M',
    'aio_write -P 0x12 33M 1M',
    'aio_flush',
    'write -z 8M 2M',
    'write -f -P 0x13 10M 512',
    'flush',
  );
  const { comparedBytes, copiedBytes } = await a.mirror.call('resync', {}, 60_000);
  t.equal(comparedBytes, SIZE_BYTES);
  t.comment(`resync: ${copiedBytes} bytes copied`);
  t.notMatch(await io, /fail/i);
  t.ok(a.disk().equals(b.disk()), 'identical after the resync under writes');
  await b.mirror.call('startReplica', {});
  await bench(a, 'mirrored, interval 0');
  t.ok(a.disk().equals(b.disk()), 'identical in interval 0');

  a.interval.current = 1;
  await bench(a, 'mirrored, journaled');
  t.notMatch(await qemuIo(a, 'write -P 0x21 0 1M', 'write -z 1M 64k', 'flush', 'read -P 0x21 0 1M', 'read -P 0 1M 64k'), /fail|verif/i);
  const base = b.disk();
  t.match(await qemuIo(b, 'write -P 0x55 512 1k', 'read -P 0x55 512 1k', 'flush'), /wrote 1024/);
  t.ok(b.disk().equals(base), "nothing of the open interval, nothing of the secondary's own is on the copy");
  const began = performance.now();
  await b.commit.call('decide', { interval: 1 });
  const decidedMs = performance.now() - began;
  await b.commit.call('apply', { interval: 1 });
  t.comment(
    `decide ${decidedMs.toFixed(1)} ms, apply ${(performance.now() - began - decidedMs).toFixed(1)} ms for ${(await b.mirror.call('status', {})).journalBytes} bytes of journal`,
  );
  a.interval.current = 2;
  t.notMatch(await qemuIo(b, 'read -P 0x21 0 1M', 'read -P 0 1M 64k'), /fail|verif/i);

  await Promise.all([a.links(false), b.links(false)]);
  const held = qemuIo(a, 'write -P 0x31 2M 1M', 'flush');
  while ((await a.mirror.call('status', {})).pendingWrites === 0) await new Promise((resolve) => setImmediate(resolve));
  t.ok((await a.mirror.call('goSolo', {})).released > 0);
  t.notMatch(await held, /fail/i);
  t.notMatch(await qemuIo(a, 'write -P 0x32 40M 5M'), /fail/i);

  // The partner comes back as a new process.
  await b.kill();
  b = new Side('B');
  a.interval.current = 0;
  await a.links(true);
  await b.mirror.call('open', {});
  t.ok(b.disk().subarray(0, MIB).equals(Buffer.alloc(MIB, 0x21)), 'the last commit is there');
  await b.mirror.call('startTarget', {});
  await a.mirror.call('startSource', {});
  const again = await a.mirror.call('resync', {}, 60_000);
  t.ok(again.copiedBytes < 12 * MIB, `only what differs was copied: ${again.copiedBytes}`);
  t.ok(a.disk().equals(b.disk()), 'identical after the return');

  // What is trimmed is given back by both.
  const spaceOf = (side: Side): number => statSync(side.setup.diskPath).blocks * 512;
  const space = [spaceOf(a), spaceOf(b)];
  t.notMatch(await qemuIo(a, 'discard 40M 4M', 'write -z -u 44M 1M', 'flush', 'read -P 0 40M 5M'), /fail|verif/i);
  for (const [i, side] of [a, b].entries())
    t.ok(spaceOf(side) <= (space[i] ?? 0) - 5 * MIB + 8192, `${space[i]} bytes before, ${spaceOf(side)} after the trim`);
  t.ok(a.disk().equals(b.disk()), 'identical after the trim');

  await t.test("libnbd's tools on a pair whose copies both follow", { skip: noLibnbd }, async (t) => {
    const uri = `nbd+unix:///disk0?socket=${a.setup.socketPath}`;
    const [info] = JSON.parse((await run('nbdinfo', ['--json', uri])).stdout).exports;
    t.match(info, {
      'export-name': 'disk0',
      'export-size': SIZE_BYTES,
      is_read_only: false,
      can_multi_conn: true,
      can_fua: true,
      can_trim: true,
    });
    const [source, target] = [join(directory, 'copied-in'), join(directory, 'copied-out')];
    const content = randomBytes(SIZE_BYTES);
    content.fill(0, 16 * MIB, 24 * MIB);
    writeFileSync(source, content);
    await run('nbdcopy', ['--connections=4', '--flush', source, uri]);
    t.ok(a.disk().equals(content), 'copied in');
    t.ok(b.disk().equals(content), 'on both copies');
    await run('nbdcopy', ['--connections=4', uri, target]);
    t.ok(readFileSync(target).equals(content), 'copied out');
  });

  // Takeover at B with the secondary's writes under way.
  await b.mirror.call('startReplica', {});
  const before = b.disk();
  a.interval.current = 1;
  await qemuIo(a, 'write -P 0x41 20M 1M');
  await qemuIo(b, 'write -P 0x42 20M 64k');
  await a.kill();
  const [taken, writes] = await Promise.all([
    b.mirror.call('takeOver', {}),
    qemuIo(b, 'write -P 0x43 21M 64k', 'flush', 'read -P 0x42 20M 64k'),
  ]);
  t.notMatch(writes, /fail|verif/i);
  t.match(taken, { committed: 0, discardedBytes: MIB });
  const copy = b.disk();
  t.ok(copy.subarray(20 * MIB, 20 * MIB + 65536).equals(Buffer.alloc(65536, 0x42)));
  t.ok(copy.subarray(21 * MIB, 21 * MIB + 65536).equals(Buffer.alloc(65536, 0x43)));
  t.ok(copy.subarray(20 * MIB + 65536, 21 * MIB).equals(before.subarray(20 * MIB + 65536, 21 * MIB)), 'the open interval is gone');

  // The old primary comes back as target; then both end in an orderly way.
  b.interval.current = 0;
  a = new Side('A');
  await a.mirror.call('startTarget', {});
  await b.mirror.call('startSource', {});
  await b.mirror.call('resync', {}, 60_000);
  t.notMatch(await qemuIo(b, 'write -P 0x51 0 100k', 'flush'), /fail/i);
  await b.mirror.call('close', {});
  await a.mirror.call('close', {});
  t.ok(a.disk().equals(b.disk()), 'identical at the end');
  await a.mirror.call('startTarget', {});
  await b.mirror.call('serveSolo', {});
  await b.mirror.call('startSource', {});
  t.equal((await b.mirror.call('resync', {}, 60_000)).copiedBytes, 0);
  t.same([a.lost, b.lost], [[], []]);
});

t.test('a worker that is started again under a client', { skip, timeout: 60_000 }, async (t) => {
  let a = new Side('A');
  t.teardown(() => a.kill());
  await a.mirror.call('serveSolo', {});
  // The block layer of the engine reconnects by itself, as the guest's does, and sends again what was not answered.
  const json = 'json:{"driver":"nbd","server":{"type":"unix","path":"/mnt/nbd-A"},"export":"disk0","reconnect-delay":30}';
  const commands = Array.from({ length: 400 }, (_, i) => ['-c', `write -P ${i % 250} ${i * 64}k 64k`]).flat();
  const io = tool(a, 'qemu-io', ...commands, '-c', 'flush', json);
  while ((await a.mirror.call('status', {})).writes < 50) await new Promise((resolve) => setImmediate(resolve));
  await a.kill();
  a = new Side('A');
  await a.mirror.call('serveSolo', {});
  t.notMatch(await io, /fail|error/i);
  const copy = a.disk();
  for (let i = 0; i < 400; i++) t.equal(copy[i * 65536 + 65535], i % 250);
});
