// One CoServer's heartbeat as a process, for worker.test.ts: its thread's events as JSON lines on stdout, commands on stdin.
import { createInterface } from 'node:readline';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  type HeartbeatCommands,
  type HeartbeatEvents,
  type HeartbeatSetup,
  runHeartbeatWorker,
} from '../../../../appliance/heartbeat/index.ts';
import { Caller } from '../../../../appliance/wire/rpc.ts';
import { ETHER_TYPE_LOCAL, PacketSocket, packFrames, unpackFrames } from '../../../../drivers/ethernet/index.ts';

export type AgentOutput =
  | { [K in keyof HeartbeatEvents]: { event: K; data: HeartbeatEvents[K] } }[keyof HeartbeatEvents]
  | { event: 'answer'; data: unknown };

function out(event: string, data: unknown): void {
  console.log(JSON.stringify({ event, data }));
}

function main(setup: HeartbeatSetup): void {
  const worker = new Worker(new URL(import.meta.url), { workerData: setup });
  const caller = new Caller<HeartbeatCommands, HeartbeatEvents>('heartbeat', worker);
  for (const event of ['link', 'partner', 'late', 'dropped', 'status'] as const) caller.on(event, (data) => out(event, data));
  let wire: PacketSocket | undefined;
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const [command, argument = ''] = line.split(' ');
    switch (command) {
      case 'status':
        out('answer', await caller.call('status', {}));
        break;
      case 'jitter':
        out('answer', await caller.call('measureJitter', { durationMs: Number(argument) }));
        break;
      case 'payload':
        await caller.call('setPayload', JSON.parse(argument)).then(
          () => out('answer', 'ok'),
          (error: Error) => out('answer', error.message),
        );
        break;
      case 'frame':
        // A frame of somebody else on the first link.
        wire ??= new PacketSocket({ nic: setup.links[0]?.nic ?? '', etherType: ETHER_TYPE_LOCAL }, { onFrames: () => undefined });
        wire.sendBatch(packFrames([Buffer.from(argument, 'hex')]));
        break;
      case 'reflect': {
        // What the other end sent comes back to it, so many times.
        const mirror = new PacketSocket(
          { nic: setup.links[0]?.nic ?? '', etherType: ETHER_TYPE_LOCAL },
          {
            onFrames: (batch) => {
              const [frame] = unpackFrames(batch).frames;
              mirror.close();
              if (frame) for (let i = 0; i < Number(argument); i++) mirrored.sendBatch(packFrames([frame]));
            },
          },
        );
        const mirrored = new PacketSocket({ nic: setup.links[0]?.nic ?? '', etherType: ETHER_TYPE_LOCAL }, { onFrames: () => undefined });
        break;
      }
      case 'exit':
        process.exit(5);
        break;
      default:
        out('answer', `no command '${command}'`);
    }
  });
}

if (isMainThread) {
  const raw = JSON.parse(process.argv[2] ?? '{}');
  main({ ...raw, pairId: Buffer.from(raw.pairId, 'hex'), pairKey: Buffer.from(raw.pairKey, 'hex') });
} else if (parentPort) runHeartbeatWorker(workerData, parentPort);
