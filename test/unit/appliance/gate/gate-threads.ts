// Starts a gate as the product does, in a worker thread of its own, with a LAN and a memory stream played by the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { CutCommands, GateCommands, GateEvents, GateSetup } from '../../../../appliance/gate/api.ts';
import type { ChannelSetup } from '../../../../appliance/wire/channel-setup.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';
import { Caller } from '../../../../appliance/wire/rpc.ts';
import type { GateThreadData } from './gate-thread.ts';
import { GUEST_MAC } from './guest-frames.ts';

export interface GateThread {
  setup: GateSetup;
  interval: IntervalCounter;
  gate: Caller<GateCommands, GateEvents>;
  memory: Caller<CutCommands, Record<string, never>>;
  /** Batches to and from the LAN; a boolean is the carrier. */
  lan: MessagePort;
  event<K extends keyof GateEvents>(name: K): Promise<GateEvents[K]>;
  end(): Promise<void>;
}

/** @param partner With it the gate opens its real channel. */
export function startGateThread(t: { teardown(f: () => unknown): void }, partner?: ChannelSetup, lockstep = false): GateThread {
  // Not t.testdir(): a unix socket's path has room for 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'gate-'));
  const interval = new IntervalCounter();
  const setup: GateSetup = {
    channel: partner ?? { stream: 'network', side: 'A', links: [], pairKey: new Uint8Array(32) },
    interval: interval.buffer,
    nic: 'lan0',
    socketPath: join(folder, 'engine.sock'),
    guestMac: GUEST_MAC,
    lockstep,
    // On a busy machine the other side's words come late; a test that awaits one cause must not get another.
    holdLimits: { dataMs: 500, ackMs: 1000 },
  };
  const cut = new MessageChannel();
  const lan = new MessageChannel();
  const workerData: GateThreadData = { setup, cutPort: cut.port1, lanPort: lan.port1, withPartner: partner !== undefined };
  const worker = new Worker(new URL('./gate-thread.ts', import.meta.url), { workerData, transferList: [cut.port1, lan.port1] });
  const gate = new Caller<GateCommands, GateEvents>('gate', worker);
  const end = async (): Promise<void> => {
    await worker.terminate();
    cut.port2.close();
    lan.port2.close();
    rmSync(folder, { recursive: true, force: true });
  };
  t.teardown(end);
  return {
    setup,
    interval,
    gate,
    memory: new Caller('gate', cut.port2),
    lan: lan.port2,
    event: (name) => new Promise((resolve) => gate.on(name, resolve)),
    end,
  };
}
