// The process of one CoServer, reduced to its mirror: the thread, its ports forwarded to the bench, the shared interval.
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MirrorSetup } from '../../../appliance/mirror/api.ts';
import { raisePriority } from '../../../appliance/runtime/priority.ts';
import { streamHeap } from '../../../appliance/runtime/workers.ts';
import { IntervalCounter } from '../../../appliance/wire/interval.ts';

/** The first message that the process gets. */
export interface SideSetup extends Omit<MirrorSetup, 'interval'> {
  encrypted: boolean;
}

/** What goes between it and the bench. */
export type SideMessage =
  | { to: 'mirror' | 'commit'; message: unknown }
  | { to: 'interval'; value: number }
  | { to: 'setup'; setup: SideSetup };

raisePriority();
const interval = new IntervalCounter();
const main = new MessageChannel();
const commit = new MessageChannel();
const send = (m: SideMessage): void => void process.send?.(m);
main.port2.on('message', (message) => send({ to: 'mirror', message }));
commit.port2.on('message', (message) => send({ to: 'commit', message }));
process.on('message', (m: SideMessage) => {
  switch (m.to) {
    case 'setup': {
      const { encrypted, ...setup } = m.setup;
      new Worker(new URL('./side-worker.ts', import.meta.url), {
        workerData: { setup: { ...setup, interval: interval.buffer }, port: main.port1, commitPort: commit.port1, encrypted },
        transferList: [main.port1, commit.port1],
        resourceLimits: streamHeap(),
      });
      break;
    }
    case 'mirror':
      main.port2.postMessage(m.message);
      break;
    case 'commit':
      commit.port2.postMessage(m.message);
      break;
    case 'interval':
      interval.current = m.value;
      break;
    default:
      m satisfies never;
  }
});
// The bench has ended: so does this.
process.on('disconnect', () => process.exit());
process.on('SIGTERM', () => process.exit());
