// The gate alone in a process of its own, for a network namespace: its ports go over this process's IPC channel.
import { EventEmitter } from 'node:events';
import type { GateSetup } from '../../appliance/gate/api.ts';
import { runGateWorker } from '../../appliance/gate/worker.ts';
import { IntervalCounter } from '../../appliance/wire/interval.ts';
import type { Port } from '../../appliance/wire/rpc.ts';

export type GateHostMessage =
  | { to: 'setup'; setup: Omit<GateSetup, 'interval'> }
  | { to: 'interval'; value: number }
  | { to: 'gate' | 'memory'; message: unknown }
  | { to: 'cpu'; userMs: number; systemMs: number };

const interval = new IntervalCounter();

class IpcPort extends EventEmitter implements Port {
  readonly #name: 'gate' | 'memory';
  constructor(name: 'gate' | 'memory') {
    super();
    this.#name = name;
  }
  postMessage(message: unknown): void {
    process.send?.({ to: this.#name, message } satisfies GateHostMessage);
  }
}

const ports = { gate: new IpcPort('gate'), memory: new IpcPort('memory') };
process.on('message', (m: GateHostMessage) => {
  switch (m.to) {
    case 'setup':
      runGateWorker({ ...m.setup, interval: interval.buffer }, ports.gate, ports.memory);
      return;
    case 'interval':
      interval.current = m.value;
      return;
    case 'gate':
    case 'memory':
      ports[m.to].emit('message', m.message);
      return;
    case 'cpu': {
      const { user, system } = process.cpuUsage();
      process.send?.({ to: 'cpu', userMs: user / 1000, systemMs: system / 1000 } satisfies GateHostMessage);
      return;
    }
    default:
      m satisfies never;
  }
});
process.on('disconnect', () => process.exit());
