// The worker threads of the one process: the same bundle started again with a role. Each stream has its own thread, so
// that none waits for another's work; ports between them carry what must happen in order at a checkpoint.
import { setFlagsFromString } from 'node:v8';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { GateCommands, GateEvents, GateSetup } from '../gate/api.ts';
import type { HardwareSetup } from '../hardware/api.ts';
import type { HeartbeatCommands, HeartbeatEvents, HeartbeatSetup } from '../heartbeat/api.ts';
import type { MemoryCommands, MemoryEvents, MemorySetup } from '../memory/api.ts';
import type { MirrorCommands, MirrorEvents, MirrorSetup } from '../mirror/api.ts';
import { Caller } from '../wire/rpc.ts';

/** What a worker finds in `workerData`. */
export type WorkerRole =
  | { role: 'heartbeat'; setup: HeartbeatSetup }
  | { role: 'hardware'; setup: HardwareSetup }
  | { role: 'mirror'; setup: MirrorSetup; commitPort: MessagePort }
  | { role: 'gate'; setup: GateSetup; cutPort: MessagePort }
  | { role: 'memory'; setup: MemorySetup; cutPort: MessagePort; commitPort: MessagePort };

export interface Workers {
  heartbeat: Caller<HeartbeatCommands, HeartbeatEvents>;
  mirror: Caller<MirrorCommands, MirrorEvents>;
  gate: Caller<GateCommands, GateEvents>;
  memory: Caller<MemoryCommands, MemoryEvents>;
  /** Every thread, for its end at shutdown. */
  threads: Worker[];
}

export interface WorkerSetups {
  heartbeat: HeartbeatSetup;
  mirror: MirrorSetup;
  gate: GateSetup;
  memory: MemorySetup;
}

/**
 * What the streams keep is in buffers outside the heap, and what they make for a request is soon gone. A young collection costs by what
 * is in use just then: with 8 MiB there were seventy a second in the mirror, which took a tenth of its CPU and made what they found last
 * long enough for the old generation. The default is 48 a thread, which gains little more.
 */
const YOUNG_GENERATION_MIB = 24;
/**
 * Before its heap has this size a thread need not look at all of it. V8 counts the buffers that pass through and would begin at 8 MiB:
 * some ten full collections a second while a disk is written to, which took a third of the mirror's CPU.
 */
const OLD_GENERATION_START_MIB = 128;

/**
 * A worker thread's heap as the streams need it. To be called before the first one starts.
 *
 * What a young collection finds alive here is small: one thread has it done before others are awake. Those others belong to V8 and have
 * an ordinary priority, so that a stream would wait for them behind the engine.
 */
export function streamHeap(): { maxYoungGenerationSizeMb: number } {
  setFlagsFromString('--no-parallel-scavenge');
  setFlagsFromString(`--initial-old-space-size=${OLD_GENERATION_START_MIB}`);
  return { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB };
}

/** @param onDeath A worker ended by itself: the process cannot go on without it. */
export function startWorkers(script: URL, setups: WorkerSetups, onDeath: (role: string, error: Error) => void): Workers {
  const threads: Worker[] = [];
  const resourceLimits = streamHeap();
  const start = (data: WorkerRole, ports: MessagePort[] = []): Worker => {
    const worker = new Worker(script, {
      workerData: data,
      transferList: ports,
      name: data.role,
      resourceLimits,
    });
    worker.on('error', (e) => onDeath(data.role, e as Error));
    worker.on('exit', (code) => onDeath(data.role, new Error(`ended with code ${code}`)));
    threads.push(worker);
    return worker;
  };
  const cut = new MessageChannel();
  const commit = new MessageChannel();
  const heartbeat = start({ role: 'heartbeat', setup: setups.heartbeat });
  const mirror = start({ role: 'mirror', setup: setups.mirror, commitPort: commit.port1 }, [commit.port1]);
  const gate = start({ role: 'gate', setup: setups.gate, cutPort: cut.port1 }, [cut.port1]);
  const memory = start({ role: 'memory', setup: setups.memory, cutPort: cut.port2, commitPort: commit.port2 }, [cut.port2, commit.port2]);
  return {
    heartbeat: new Caller('heartbeat', heartbeat),
    mirror: new Caller('mirror', mirror),
    gate: new Caller('gate', gate),
    memory: new Caller('memory', memory),
    threads,
  };
}
