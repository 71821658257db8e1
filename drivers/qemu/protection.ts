// The steps of protection, takeover and its end as QEMU 11.1 wants them: one function per QMP command or wait.
// Their order is the caller's: appliance/memory/README.md lists it, with what was measured.
import { type QmpClient, type QmpEvent, QmpTimeoutError } from './qmp-client.ts';

/** `query-status`: the states that matter here; others exist. */
export type RunState =
  | 'running'
  | 'paused'
  | 'inmigrate'
  | 'colo'
  | 'finish-migrate'
  | 'postmigrate'
  | 'prelaunch'
  | 'shutdown'
  | (string & {});
/** `query-migrate`; 'none' before the first. */
export type MigrationStatus = 'none' | 'setup' | 'active' | 'device' | 'colo' | 'completed' | 'failed' | 'cancelled' | (string & {});

/** No limit that matters: the links are ours alone, and back-pressure comes from the memory stream. */
const MAX_BANDWIDTH_BYTES_PER_S = 2 ** 40;
const POLL_MS = 10;
/** RESUME follows the failover within 1-10 ms where one follows. */
const RESUME_GRACE_MS = 25;

/** Both sides, before `migrateIncoming` / `migrate`. */
export async function setColoCapabilities(client: QmpClient): Promise<void> {
  const capabilities = ['x-colo', 'return-path'].map((capability) => ({ capability, state: true }));
  await client.execute('migrate-set-capabilities', { capabilities });
}

/** Primary, before `migrate`. @param checkpointDelayMs The longest time without a checkpoint: the engine's own timer. */
export async function setMigrationParameters(client: QmpClient, checkpointDelayMs: number): Promise<void> {
  await client.execute('migrate-set-parameters', {
    'x-checkpoint-delay': checkpointDelayMs,
    'max-bandwidth': MAX_BANDWIDTH_BYTES_PER_S,
  });
}

export async function migrateIncoming(client: QmpClient, socketPath: string): Promise<void> {
  await client.execute('migrate-incoming', { uri: `unix:${socketPath}` });
}

export async function migrate(client: QmpClient, socketPath: string): Promise<void> {
  await client.execute('migrate', { uri: `unix:${socketPath}` });
}

/** Starts a checkpoint now. On a monitor of its own: it must not wait behind another command. */
export async function triggerCheckpoint(client: QmpClient, checkpointDelayMs: number): Promise<void> {
  await client.execute('migrate-set-parameters', { 'x-checkpoint-delay': checkpointDelayMs });
}

/** Shuts the migration's socket down, also when the main loop is blocked in it. Engines without a migration: nothing happens. */
export async function yankMigration(client: QmpClient, timeoutMs = 1000): Promise<void> {
  await client.executeOob('yank', { instances: [{ type: 'migration' }] }, { timeoutMs });
}

/** Either side, once the migration's socket is dead: the guest goes on alone. */
export async function loseHeartbeat(client: QmpClient): Promise<void> {
  await client.execute('x-colo-lost-heartbeat');
}

/**
 * `loseHeartbeat`, and answers when the guest runs alone: at RESUME. A primary that was running all the time may send none:
 * then its state is asked for, later, because the running guest of a busy engine delays that answer by tens of ms.
 */
export async function failOver(client: QmpClient, timeoutMs: number): Promise<void> {
  const resumed = client.waitEvent('RESUME', { timeoutMs });
  // Its failure is the other waiter's too.
  const silent = resumed.then(
    () => true,
    () => false,
  );
  await loseHeartbeat(client);
  const early = await Promise.race([silent, new Promise<false>((resolve) => setTimeout(() => resolve(false), RESUME_GRACE_MS))]);
  if (early) return;
  await Promise.race([resumed, waitStatus(client, 'running', timeoutMs)]);
}

export function waitColoExit(client: QmpClient, timeoutMs: number): Promise<QmpEvent> {
  return client.waitEvent('COLO_EXIT', { timeoutMs });
}

export async function queryStatus(client: QmpClient): Promise<RunState> {
  return (await queryStatusField(client, 'query-status')) as RunState;
}

export async function queryMigration(client: QmpClient): Promise<MigrationStatus> {
  return ((await queryStatusField(client, 'query-migrate')) || 'none') as MigrationStatus;
}

/** Waits until the guest is in that state. Throws QmpTimeoutError naming the state it is in instead. */
export async function waitStatus(client: QmpClient, wanted: RunState, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await queryStatus(client);
    if (status === wanted) return;
    if (performance.now() > deadline) {
      throw new QmpTimeoutError(`${client.name}: the guest is '${status}', not '${wanted}', after ${timeoutMs} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Not while in COLO: the next checkpoint would restart the guest. */
export async function stopGuest(client: QmpClient): Promise<void> {
  await client.execute('stop');
}

export async function continueGuest(client: QmpClient): Promise<void> {
  await client.execute('cont');
}

/** Presses the guest's power button. The guest decides when, and whether, it shuts down. */
export async function powerDownGuest(client: QmpClient): Promise<void> {
  await client.execute('system_powerdown');
}

/**
 * What a guest's own shutdown or reset does to the engine: 'poweroff' ends it. 'pause' keeps it, stopped: for a secondary, whose
 * replica may get there ahead of the primary, or alone; the next checkpoint makes it run again from the primary's state.
 */
export async function setShutdownAction(client: QmpClient, shutdown: 'poweroff' | 'pause'): Promise<void> {
  await client.execute('set-action', { shutdown });
}

/** A guest that reports a panic is only told of (GUEST_PANICKED), and goes on with what its own system does then. */
export async function tellPanicOnly(client: QmpClient): Promise<void> {
  await client.execute('set-action', { panic: 'none' });
}

/** Ends the engine at once, disks flushed. */
export async function quitEngine(client: QmpClient): Promise<void> {
  await client.execute('quit');
}

async function queryStatusField(client: QmpClient, command: string): Promise<string> {
  const answer = await client.execute(command);
  const status = typeof answer === 'object' && answer !== null && 'status' in answer ? answer.status : undefined;
  return typeof status === 'string' ? status : '';
}
