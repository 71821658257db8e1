// The thread that reads this server's hardware: every source in its own time, each reading through the ledger, news to the main thread.
//
// A thread of its own, so that a slow BMC or a long answer of the kernel never delays a heartbeat or a guest.
import type { MessagePort } from 'node:worker_threads';
import { FRESH_LEDGER, faultsOf, judge } from '../core/faults/ledger.ts';
import type { Reading } from '../core/faults/types.ts';
import type { ServerView } from '../core/snapshot.ts';
import { serve } from '../wire/rpc.ts';
import type { HardwareCommands, HardwareEvents, HardwareSetup, HardwareStatus } from './api.ts';
import { bmcReaders } from './bmc-readers.ts';
import { latencyReader, smartReader } from './disk-readers.ts';
import { kernelReaders } from './kernel-readers.ts';
import { type Reader, ReaderLoop } from './reader.ts';
import { readServer } from './server.ts';

export function readersOf(setup: HardwareSetup): Reader[] {
  return [...(setup.bmc === '' ? [] : bmcReaders(setup.bmc)), smartReader(), latencyReader(), ...kernelReaders(setup.nics)];
}

export function runHardwareWorker(
  setup: HardwareSetup,
  port: MessagePort,
  readers: readonly Reader[] = readersOf(setup),
  server: () => Promise<ServerView> = readServer,
): { stop(): Promise<void> } {
  let ledger = FRESH_LEDGER;
  const latest: Pick<HardwareStatus, 'sensors' | 'disks' | 'nics' | 'summary'> = { sensors: [], disks: [], nics: [] };
  const onReading = (reading: Reading): void => {
    if (reading.source === 'sensors') latest.sensors = reading.sensors;
    if (reading.source === 'smart') latest.disks = reading.disks;
    if (reading.source === 'nics') latest.nics = reading.nics;
    const judged = judge(ledger, reading, performance.now());
    ledger = judged.ledger;
    if (judged.raised.length + judged.cleared.length > 0) emit('faults', { faults: faultsOf(ledger) });
  };
  const loops = readers.map((reader) => new ReaderLoop(reader, onReading));
  const emit = serve<HardwareCommands, HardwareEvents>(port, {
    status: () => ({ faults: faultsOf(ledger), sources: loops.map((l) => l.status), ...latest }),
  });
  for (const loop of loops) loop.start();
  // For the eye only: without it the page says so.
  server().then(
    (summary) => {
      latest.summary = summary;
    },
    () => undefined,
  );
  return {
    stop: async () => {
      await Promise.all(loops.map((l) => l.stop()));
    },
  };
}
