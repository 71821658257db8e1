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
import { CopyDisks } from './copy-disks.ts';
import { latencyReader, smartReader } from './disk-readers.ts';
import { kernelReaders } from './kernel-readers.ts';
import { Punctuality } from './punctuality.ts';
import { type Reader, ReaderLoop } from './reader.ts';
import { roomReader } from './room-reader.ts';
import { readServer } from './server.ts';

export function readersOf(setup: HardwareSetup, punctuality: Punctuality): Reader[] {
  return [
    ...(setup.bmc === '' ? [] : bmcReaders(setup.bmc)),
    smartReader(),
    latencyReader(punctuality),
    ...kernelReaders(setup.nics),
    roomReader(setup.stateDir),
  ];
}

export function runHardwareWorker(
  setup: HardwareSetup,
  port: MessagePort,
  ownReaders: readonly Reader[] | null = null,
  server: () => Promise<ServerView> = readServer,
  copy = new CopyDisks(setup.copy),
): { stop(): Promise<void> } {
  const punctuality = new Punctuality();
  const readers = ownReaders ?? readersOf(setup, punctuality);
  let ledger = FRESH_LEDGER;
  const latest: Pick<HardwareStatus, 'sensors' | 'disks' | 'nics' | 'summary'> = { sensors: [], disks: [], nics: [] };
  const onReading = (reading: Reading): void => {
    if (reading.source === 'sensors') latest.sensors = reading.sensors;
    if (reading.source === 'smart') latest.disks = reading.disks;
    if (reading.source === 'nics') latest.nics = reading.nics;
    const judged = judge(ledger, reading, performance.now());
    ledger = judged.ledger;
    if (judged.raised.length + judged.cleared.length > 0) tell();
  };
  const tell = (): void => emit('faults', { faults: copy.mark(faultsOf(ledger)) });
  const loops = readers.map((reader) => new ReaderLoop(reader, onReading, (at) => punctuality.worstSince(at)));
  const emit = serve<HardwareCommands, HardwareEvents>(port, {
    status: () => ({ faults: copy.mark(faultsOf(ledger)), sources: loops.map((l) => l.status), ...latest }),
  });
  let stopped = false;
  // What a fault of a disk means depends on what is on it.
  void copy
    .start(() => {
      if (faultsOf(ledger).length > 0) tell();
    })
    .then(() => {
      if (!stopped) for (const loop of loops) loop.start();
    });
  // For the eye only: without it the page says so.
  server().then(
    (summary) => {
      latest.summary = summary;
    },
    () => undefined,
  );
  return {
    stop: async () => {
      stopped = true;
      copy.stop();
      punctuality.stop();
      await Promise.all(loops.map((l) => l.stop()));
    },
  };
}
