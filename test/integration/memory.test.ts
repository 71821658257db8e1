// The memory stream under the real engine: two replicas of a small Linux guest, protected, killed, protected again.
// TWINSTEP_ROUNDS: how many power failures (default 6). Needs root and the engine's root.
import { open } from 'node:fs/promises';
import t from 'tap';
import {
  describeExit,
  EngineProcess,
  findGuestMemory,
  QmpClient,
  queryStatus,
  setMigrationParameters,
  triggerCheckpoint,
} from '../../drivers/qemu/index.ts';
import { ENGINE_COMMAND, hasEngine, type LogEntry, MemoryLab, type Side } from './memory-lab.ts';

const skip = hasEngine ? false : 'needs root and the engine root (set TWINSTEP_ENGINE_ROOT)';
const ROUNDS = Number(process.env.TWINSTEP_ROUNDS ?? 6);
t.setTimeout(600_000);

async function withLab(options: ConstructorParameters<typeof MemoryLab>[0], body: (lab: MemoryLab) => Promise<void>): Promise<void> {
  const lab = new MemoryLab(options);
  try {
    await body(lab);
    if (lab.failures.length > 0) throw new Error(lab.failures.join('; '));
  } finally {
    await lab.end();
  }
}

function percentile(values: number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1);
}

/** STOP to RESUME as the engine says: ms. */
function pauses(side: Side): number[] {
  const seen = side.qmpEvents.filter((e) => e.name === 'STOP' || e.name === 'RESUME');
  return seen.flatMap((e, i) => (e.name === 'RESUME' && seen[i - 1]?.name === 'STOP' ? [e.atMs - (seen[i - 1]?.atMs ?? 0)] : []));
}

/** The rules of lockstep.md's table, for every interval in the log. Answers what is wrong. */
function orderFaults(log: LogEntry[], primary: 'A' | 'B', secondary: 'A' | 'B', last: number): string[] {
  const faults: string[] = [];
  const place = (side: 'A' | 'B', what: LogEntry['what'], interval: number) =>
    log.findIndex((e) => e.side === side && e.what === what && e.interval === interval);
  for (let n = 1; n <= last; n++) {
    const cut = place(primary, 'cut', n);
    const output = place(primary, 'commitOutput', n);
    const [decide, decided, apply, applied] = (['decide', 'decided', 'apply', 'applied'] as const).map((what) => place(secondary, what, n));
    const order = [decide, decided, apply, applied, place(secondary, 'commitOutput', n)];
    if (order.some((p, i) => p === undefined || p < 0 || (i > 0 && p < (order[i - 1] ?? -1))))
      faults.push(`interval ${n}: secondary's order ${order}`);
    if (cut < 0 || output < cut) faults.push(`interval ${n}: output before the cut`);
    if (output < (decided ?? -1)) faults.push(`interval ${n}: output before the decision`);
    if (log[cut]?.counter !== n) faults.push(`interval ${n}: cut under counter ${log[cut]?.counter}`);
    if ((log[output]?.counter ?? 0) <= n) faults.push(`interval ${n}: output released under counter ${log[output]?.counter}`);
  }
  return faults;
}

for (const earlyAcknowledge of [true, false]) {
  t.test(`60 checkpoints on demand${earlyAcknowledge ? ', acknowledged early' : ''}`, { skip }, async (t) => {
    await withLab({ earlyAcknowledge }, async (lab) => {
      await lab.boot();
      const { pauseMs } = await lab.protect(lab.a, lab.b);
      const before = lab.a.qmpEvents.length;
      const start = performance.now();
      for (let i = 0; i < 60; i++) await lab.checkpoint(lab.a);
      const ms = performance.now() - start;
      await lab.b.until('all are loaded', () => lab.log.filter((e) => e.side === 'B' && e.what === 'commitOutput').length === 60);
      t.same(orderFaults(lab.log, 'A', 'B', 60), []);
      t.equal(lab.a.interval.current, 61);
      lab.a.qmpEvents.splice(0, before);
      const of = (f: (r: (typeof lab.a.reports)[number]) => number) => lab.a.reports.map(f);
      t.comment(`synchronisation: the guest stood ${pauseMs.toFixed(0)} ms; ${((60 * 1000) / ms).toFixed(1)} checkpoints/s`);
      for (const [name, values] of [
        ['pause in the stream', of((r) => r.pauseMs)],
        ['STOP to RESUME', pauses(lab.a)],
        ['REQUEST to commit', of((r) => r.commitMs)],
        ['REQUEST to loaded', of((r) => r.totalMs)],
        ['kB', of((r) => r.bytes / 1000)],
      ] as const) {
        t.comment(`${name}: p50 ${percentile(values, 0.5)} p99 ${percentile(values, 0.99)}`);
      }
      t.equal(lab.a.serial.includes('BAD'), false);
    });
  });
}

t.test('power failures of the primary, at any moment; the guest goes on, and is protected again', { skip }, async (t) => {
  await withLab({}, async (lab) => {
    await lab.boot();
    let [primary, secondary] = [lab.a, lab.b];
    for (let round = 1; round <= ROUNDS; round++) {
      const { pauseMs } = await lab.protect(primary, secondary);
      lab.log.length = 0;
      const checkpoints = 1 + (round % 4);
      for (let i = 0; i < checkpoints; i++) await lab.checkpoint(primary);
      // Into the next one, at a random moment; also before it begins, and after it.
      await triggerCheckpoint(primary.trigger, 60_000);
      const delayMs = Math.random() * 40;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const phase = (await primary.memory.call('status', {})).phase;
      const countedThere = primary.count;
      await primary.powerOff();
      const result = await lab.takeOver(secondary);
      t.ok(result.loaded === result.committed, 'rolled forward');
      t.ok(result.committed === checkpoints || result.committed === checkpoints + 1, `interval ${result.committed} of ${checkpoints} + 1`);
      const decided = lab.log.filter((e) => e.what === 'decided').length;
      t.equal(decided, result.committed, 'disk and memory stand at the same interval');
      const counted = secondary.count;
      await secondary.until('the guest counts on', () => secondary.count > counted + 3, 20_000);
      t.ok(secondary.count > countedThere - 60, 'not far back');
      t.equal(secondary.serial.includes('BAD'), false, "the guest's memory is whole");
      t.equal(secondary.interval.current, 0);
      t.comment(
        `round ${round}: off after ${delayMs.toFixed(1)} ms in '${phase}', committed ${result.committed}, rolled forward ${result.waitedMs.toFixed(1)} ms, ` +
          `running after ${result.totalMs.toFixed(1)} ms; synchronised in ${pauseMs.toFixed(0)} ms`,
      );
      [primary, secondary] = [secondary, lab.replace(primary.name)];
    }
  });
});

t.test('power failures of the secondary; the same primary is protected again', { skip }, async (t) => {
  await withLab({}, async (lab) => {
    await lab.boot();
    for (let round = 1; round <= Math.ceil(ROUNDS / 2); round++) {
      const secondary = round === 1 ? lab.b : lab.replace('B');
      await lab.protect(lab.a, secondary);
      await lab.checkpoint(lab.a);
      await triggerCheckpoint(lab.a.trigger, 60_000);
      const delayMs = Math.random() * 30;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await secondary.powerOff();
      const ms = await lab.goOnAlone(lab.a);
      const counted = lab.a.count;
      await lab.a.until('the guest counts on', () => lab.a.count > counted + 3, 20_000);
      t.equal(lab.a.serial.includes('BAD'), false);
      t.equal(lab.a.interval.current, 0);
      t.comment(`round ${round}: off after ${delayMs.toFixed(1)} ms, running alone after ${ms.toFixed(1)} ms`);
    }
  });
});

t.test('the audit: a write that the engine did not notice is found, one that it did is not', { skip }, async (t) => {
  await withLab({ auditMs: 1_000 }, async (lab) => {
    await lab.boot();
    await lab.protect(lab.a, lab.b);
    for (let i = 0; i < 5; i++) await lab.checkpoint(lab.a);
    const before = await lab.a.memory.call('status', {});
    t.match(before.audit, { checkedPages: 6 * 24576, totalPages: 24576, differing: 0 });
    t.notOk(lab.a.has('pageDiffers'));
    const memory = await findGuestMemory(lab.a.engine.pid);
    if (!memory) throw new Error('no RAM file');
    const ram = await open(memory.path, 'r+');
    const byte = Buffer.alloc(1);
    // The last page: zeros, which no guest of this size has used yet.
    await ram.read(byte, 0, 1, memory.sizeBytes - 8192);
    await ram.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, memory.sizeBytes - 8192);
    await ram.close();
    await lab.checkpoint(lab.a);
    await lab.a.until('the audit speaks', () => lab.a.has('pageDiffers'));
    const page = memory.sizeBytes / 4096 - 2;
    t.match(lab.a.events.find((e) => e.name === 'pageDiffers')?.data, { side: 'primary', page, interval: 6 });
    await lab.checkpoint(lab.a);
    t.equal(lab.a.events.filter((e) => e.name === 'pageDiffers').length, 1, 'said once');
    const counted = lab.b.events.filter((e) => e.name === 'pageDiffers').length;
    t.equal(counted, 0, 'the replica is not accused: it has what was sent');
  });
});

t.test('the guest shuts down while it is protected', { skip }, async (t) => {
  await withLab({ append: 'end=25 how=poweroff' }, async (lab) => {
    await lab.boot();
    await lab.protect(lab.a, lab.b);
    const shutdown = lab.a.control.waitEvent('SHUTDOWN', { timeoutMs: 30_000 });
    while (!lab.a.has('lost')) {
      await lab.checkpoint(lab.a).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    t.match((await shutdown).data, { guest: true, reason: 'guest-shutdown' });
    const exit = await lab.a.engine.exited;
    t.equal(exit.code, 0, describeExit(exit));
    const last = lab.a.interval.current;
    t.same(await lab.a.memory.call('commitFinal', {}), { committed: last });
    t.ok(lab.log.some((e) => e.side === 'B' && e.what === 'applied' && e.interval === last));
    t.ok(lab.log.some((e) => e.side === 'A' && e.what === 'commitOutput' && e.interval === last));
    t.equal(lab.b.engine.exit, undefined, "the secondary's engine did not end by itself");
  });
});

t.test("the engine's own life: adopted after a restart of ours, wrong arguments named", { skip }, async (t) => {
  await withLab({}, async (lab) => {
    await lab.boot();
    const adopted = await EngineProcess.adopt(lab.a.engine.pidFile);
    t.equal(adopted?.pid, lab.a.engine.pid);
    await lab.a.control.execute('quit');
    t.match(await adopted?.exited, { code: undefined });
    t.match(await lab.a.engine.exited, { code: 0 });
    const wrong = await EngineProcess.start({
      command: ENGINE_COMMAND,
      args: ['-machine', 'no-such-machine'],
      pidFile: `${lab.directory}/wrong.pid`,
      logPath: `${lab.directory}/wrong.log`,
    });
    t.match(describeExit(await wrong.exited), /exit code 1; its last lines: .*no-such-machine/);
  });
});

t.test('two monitors: a command waits behind nothing on the other', { skip }, async (t) => {
  await withLab({}, async (lab) => {
    await lab.a.startEngine(false);
    t.match(lab.a.control.version, { major: 11, minor: 1 });
    await setMigrationParameters(lab.a.control, 60_000);
    t.equal(await queryStatus(lab.a.trigger), 'running');
    await t.rejects(lab.a.control.execute('x-colo-lost-heartbeat'), { name: 'QapiError', command: 'x-colo-lost-heartbeat' });
    t.type(lab.a.control, QmpClient);
  });
});
