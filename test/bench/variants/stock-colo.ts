// Variant 5: QEMU's own COLO, as docs/COLO-FT.txt says (section "Primary resume replication", which protects a guest that runs), with
// every default of the comparator and of the engine:
//
//   primary                                                        secondary
//   filter-mirror m0      client's frames  -- port 9003 -------->  filter-redirector f1 -> filter-rewriter -> guest
//   redire1, colo-compare comp0, redire0   <- port 9004 ---------  filter-redirector f2 <- guest
//   quorum colo-disk0 -> replication0      -- NBD, port 9999 --->  quorum <- replication (active, hidden: in RAM) <- parent0
//   migrate, x-colo                        -- port 9998 -------->  -incoming
//
// Where it differs from the text, and why: virtio-net and virtio-blk instead of rtl8139 and ide, raw files instead of qcow2, and the
// product's machine type, because the guest must be the same in all variants; `return-path`, without which this version refuses.
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QmpClient } from '../../../drivers/qemu/index.ts';
import { waitStatus } from '../../../drivers/qemu/index.ts';
import { run } from '../../../hwqual/lab/command.ts';
import { ADDRESSES } from '../../../hwqual/lab/settings.ts';
import { DISK_MIB } from '../guest/build.ts';
import { BridgeHost, type BridgeHostParts, INSIDE } from './bridge-host.ts';
import type { RunningVariant } from './variant.ts';

const PORTS = { mirror: 9003, compare: 9004, compareIn: 9001, compareOut: 9005, checkpoint: 9998, disk: 9999 } as const;
const PRIMARY = ADDRESSES.link(1, 'A');
const SECONDARY = ADDRESSES.link(1, 'B');
const SYNC_TIMEOUT_MS = 120_000;
const LOOK_EVERY_MS = 50;
/** Pauses kept for the percentiles: more than a measure has. */
const MAX_PAUSES = 20_000;

export async function startStockColo(parts: BridgeHostParts, signal: AbortSignal): Promise<RunningVariant> {
  const host = await BridgeHost.up(parts, ['A', 'B']);
  const memoryDisks = ['active', 'hidden'].map((what) => `/dev/shm/twinstep-bench-${parts.settings.instance}-${what}.qcow2`);
  const stop = async () => {
    await host.down();
    for (const file of memoryDisks) await rm(file, { force: true });
  };
  try {
    await host.joinLan('A');
    const file = [
      '-blockdev',
      `driver=file,filename=${INSIDE}/disk0,node-name=file0`,
      '-blockdev',
      'driver=raw,file=file0,node-name=parent0',
    ];
    const quorum = 'driver=quorum,node-name=colo-disk0,read-pattern=fifo,vote-threshold=1,children.0=parent0';
    const device = ['-device', 'virtio-blk-pci,id=disk0,drive=colo-disk0'];
    const primary = await host.startEngine('A', [...file, '-blockdev', quorum, ...device]);
    await host.waitReady('A', signal);
    for (const image of memoryDisks) await makeMemoryDisk(parts.engineRoot, image);
    const secondary = await host.startEngine('B', [...secondaryArguments(memoryDisks), ...device]);
    await prepareSecondary(secondary.monitor);
    await protect(primary.monitor, signal);
    const record = recordCheckpoints(primary.monitor);
    return {
      places: [
        { role: 'primary', namespace: parts.settings.namespaces.A },
        { role: 'secondary', namespace: parts.settings.namespaces.B },
      ],
      checkpointPort: PORTS.checkpoint,
      checkpoints: async (sinceMs) => ({
        count: record.count,
        streamBytes: [],
        pausesMs: record.pauses.filter((p) => p.at >= sinceMs).map((p) => p.ms),
        causes: null,
      }),
      mode: async () => {
        const status = await primary.monitor.execute('query-migrate');
        return typeof status === 'object' && status !== null && 'status' in status ? String(status.status) : null;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeMemoryDisk(engineRoot: string, path: string): Promise<void> {
  await rm(path, { force: true });
  const script = 'mount --rbind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" qemu-img create -q -f qcow2 "$@"';
  await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', engineRoot, path, `${DISK_MIB}M`]);
}

function secondaryArguments([active, hidden]: readonly string[]): string[] {
  const chardev = (id: string, port: number) => ['-chardev', `socket,id=${id},host=${PRIMARY},port=${port},reconnect-ms=100`];
  return [
    ...chardev('red0', PORTS.mirror),
    ...chardev('red1', PORTS.compare),
    ...['-object', 'filter-redirector,id=f1,netdev=hn0,queue=tx,indev=red0'],
    ...['-object', 'filter-redirector,id=f2,netdev=hn0,queue=rx,outdev=red1'],
    ...['-object', 'filter-rewriter,id=rew0,netdev=hn0,queue=all'],
    ...['-drive', `if=none,id=parent0,node-name=parent0n,file.filename=${INSIDE}/disk0,file.driver=file,driver=raw`],
    '-drive',
    [
      'if=none,id=childs0,driver=replication,mode=secondary,file.driver=qcow2,top-id=colo-disk0',
      `file.file.filename=${active}`,
      'file.backing.driver=qcow2',
      `file.backing.file.filename=${hidden}`,
      'file.backing.backing=parent0',
    ].join(','),
    ...['-drive', 'if=none,id=colo-disk0,driver=quorum,read-pattern=fifo,vote-threshold=1,children.0=childs0'],
    ...['-incoming', `tcp:0.0.0.0:${PORTS.checkpoint}`],
  ];
}

const CAPABILITIES = { capabilities: ['x-colo', 'return-path'].map((capability) => ({ capability, state: true })) };

function socket(host: string, port: number, server: boolean): object {
  const addr = { type: 'inet', data: { host, port: String(port) } };
  return { type: 'socket', data: { addr, server, ...(server ? { wait: false } : {}) } };
}

async function prepareSecondary(monitor: QmpClient): Promise<void> {
  await monitor.execute('migrate-set-capabilities', CAPABILITIES);
  await monitor.execute('nbd-server-start', { addr: { type: 'inet', data: { host: SECONDARY, port: String(PORTS.disk) } } });
  await monitor.execute('nbd-server-add', { device: 'parent0', writable: true });
}

async function protect(monitor: QmpClient, signal: AbortSignal): Promise<void> {
  const chardevs: [string, object][] = [
    ['mirror0', socket(PRIMARY, PORTS.mirror, true)],
    ['compare1', socket(PRIMARY, PORTS.compare, true)],
    ['compare0', socket('127.0.0.1', PORTS.compareIn, true)],
    ['compare0-0', socket('127.0.0.1', PORTS.compareIn, false)],
    ['compare_out', socket('127.0.0.1', PORTS.compareOut, true)],
    ['compare_out0', socket('127.0.0.1', PORTS.compareOut, false)],
  ];
  for (const [id, backend] of chardevs) await monitor.execute('chardev-add', { id, backend });

  const ready = monitor.waitEvent('BLOCK_JOB_READY', { timeoutMs: SYNC_TIMEOUT_MS });
  ready.catch(() => undefined);
  const target = `nbd://${SECONDARY}:${PORTS.disk}/parent0`;
  const job = { device: 'colo-disk0', 'job-id': 'resync', target, mode: 'existing', format: 'raw', sync: 'full' };
  await monitor.execute('drive-mirror', job);
  await ready;
  await monitor.execute('stop');
  const completed = monitor.waitEvent('BLOCK_JOB_COMPLETED', { timeoutMs: SYNC_TIMEOUT_MS });
  completed.catch(() => undefined);
  await monitor.execute('block-job-cancel', { device: 'resync' });
  await completed;

  const server = { type: 'inet', host: SECONDARY, port: String(PORTS.disk) };
  const disk = { driver: 'nbd', 'node-name': 'nbd0', server, export: 'parent0' };
  await monitor.execute('blockdev-add', { driver: 'replication', mode: 'primary', 'node-name': 'replication0', file: disk });
  await monitor.execute('x-blockdev-change', { parent: 'colo-disk0', node: 'replication0' });

  const objects: [string, string, object][] = [
    ['filter-mirror', 'm0', { netdev: 'hn0', queue: 'tx', outdev: 'mirror0' }],
    ['filter-redirector', 'redire0', { netdev: 'hn0', queue: 'rx', indev: 'compare_out' }],
    ['filter-redirector', 'redire1', { netdev: 'hn0', queue: 'rx', outdev: 'compare0' }],
    ['iothread', 'iothread1', {}],
    ['colo-compare', 'comp0', { primary_in: 'compare0-0', secondary_in: 'compare1', outdev: 'compare_out0', iothread: 'iothread1' }],
  ];
  for (const [type, id, properties] of objects) await monitor.execute('object-add', { 'qom-type': type, id, ...properties });

  await monitor.execute('migrate-set-capabilities', CAPABILITIES);
  await monitor.execute('migrate', { uri: `tcp:${SECONDARY}:${PORTS.checkpoint}` });
  await waitProtected(monitor, signal);
}

async function waitProtected(monitor: QmpClient, signal: AbortSignal): Promise<void> {
  const end = performance.now() + SYNC_TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    const answer = await monitor.execute('query-migrate');
    const status = typeof answer === 'object' && answer !== null && 'status' in answer ? String(answer.status) : 'none';
    if (status === 'colo') break;
    if (status === 'failed' || status === 'cancelled' || performance.now() > end)
      throw new Error(`stock COLO did not begin: migration ${status}: ${JSON.stringify(answer)}`);
    await sleep(LOOK_EVERY_MS);
  }
  await waitStatus(monitor, 'running', SYNC_TIMEOUT_MS);
}

/** A checkpoint is a STOP and the next RESUME, by the engine's own clock. */
function recordCheckpoints(monitor: QmpClient): { count: number; pauses: { at: number; ms: number }[] } {
  const record = { count: 0, pauses: [] as { at: number; ms: number }[] };
  let stoppedAt = 0;
  monitor.on('STOP', (event) => {
    stoppedAt = event.timestampMs;
  });
  monitor.on('RESUME', (event) => {
    if (stoppedAt === 0) return;
    record.count++;
    record.pauses.push({ at: event.timestampMs, ms: event.timestampMs - stoppedAt });
    if (record.pauses.length > MAX_PAUSES) record.pauses.shift();
    stoppedAt = 0;
  });
  return record;
}
