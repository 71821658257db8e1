// What the effects work with: the engine, the streams' workers, the durable record, the witness.
import type { CoServerConfig } from '../../config.ts';
import type { PartnerStatus, State } from '../../core/machine.ts';
import { DISK_REFUSED } from '../../mirror/api.ts';
import type { RpcError } from '../../wire/rpc.ts';
import type { WitnessClient } from '../../witness/client.ts';
import type { History } from '../history.ts';
import type { Incidents } from '../incidents.ts';
import type { NewEvent } from '../pump.ts';
import type { RecordStore } from '../record-store.ts';
import { slownessOf } from '../slowness.ts';
import type { Workers } from '../workers.ts';
import type { CheckpointTrigger } from './checkpoint-trigger.ts';
import type { Engine } from './engine.ts';
import type { Fence } from './fence.ts';
import type { WatchdogKeeper } from './watchdog.ts';

/** Of the mirror's disk and journal, on an ordinary server: see slownessOf. */
const OPEN_WITHIN_MS = 120_000;

export interface Parts {
  config: CoServerConfig;
  workers: Workers;
  engine: Engine;
  records: RecordStore;
  witness: Pick<WitnessClient, 'claim'>;
  history: History;
  incidents: Incidents;
  trigger: CheckpointTrigger;
  watchdog: WatchdogKeeper;
  fence: Fence;
  /** Sockets between the engine and the memory stream. */
  sockets: { source: string; incoming: string };
  /** The mirror's disk and journal are open: the worker knows, this saves asking. */
  disk: { isOpen: boolean };
  /** How far the copy of this CoServer's own history is; null: none is made. */
  keeping: (progress: { doneBytes: number; totalBytes: number } | null) => void;
  /** Nothing depends on this process any more: it may end. */
  endProcess: () => void;
  say: (status: PartnerStatus) => void;
  feed: (event: NewEvent) => void;
  state: () => State;
}

/**
 * Opens the mirror's disk and journal, and tells what a crash had left in the journal.
 * serves: the guest has run here and is to run from it again. Rejects when the disk is not known then.
 */
export async function openDisk(p: Parts, use: { serves: boolean }): Promise<void> {
  if (p.disk.isOpen) return;
  const { committed, replayed, discarded, notes } = await judged(
    p,
    p.workers.mirror.call('open', use, OPEN_WITHIN_MS * slownessOf(p.config)),
  );
  p.disk.isOpen = true;
  for (const note of notes) p.history.add({ severity: 'warning', row: null, text: `The disk: ${note}.` });
  if (replayed + discarded === 0) return;
  const text = `The disk's journal was replayed: ${replayed} bytes applied, the last checkpoint in it was ${committed}; ${discarded} bytes discarded that a takeover had left behind.`;
  p.history.add({ severity: 'info', row: null, text });
}

/** The core hears why a disk is not used, and that it is. */
async function judged<T>(p: Parts, opening: Promise<T>): Promise<T> {
  try {
    const opened = await opening;
    if (p.state().diskRefused !== null) p.feed({ kind: 'diskJudged', refusal: null });
    return opened;
  } catch (e) {
    const { code, message } = e as RpcError;
    if (code === DISK_REFUSED) p.feed({ kind: 'diskJudged', refusal: message.replace(/^mirror: /, '') });
    throw e;
  }
}
