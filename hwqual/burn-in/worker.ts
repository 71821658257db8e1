// The worker threads of a burn-in: each does one piece of work until it is told to stop, tells its figures twice a second, and its result last.
import { setPriority } from 'node:os';
import { type MessagePort, Worker } from 'node:worker_threads';
import { type DiskSetup, diskWork } from './disk-work.ts';
import { type JitterSetup, jitterWork } from './jitter-work.ts';
import { type LinkSetup, linkWork } from './link-work.ts';
import { type MemorySetup, memoryWork } from './memory-work.ts';
import { type ProcessorSetup, processorWork } from './processor-work.ts';

export type WorkSetup =
  | ({ work: 'processor' } & ProcessorSetup)
  | ({ work: 'memory' } & MemorySetup)
  | ({ work: 'disk' } & DiskSetup)
  | ({ work: 'link' } & LinkSetup)
  | ({ work: 'jitter' } & JitterSetup);

/** What a thread of the burn-in finds in `workerData`. */
export interface BurnInRole {
  role: 'burnIn';
  setup: WorkSetup;
}

type Message<R> = { kind: 'figures'; figures: R } | { kind: 'done'; result: R };

/** A thread that is stuck in the kernel (a disk that does not answer) is given up. */
const STOP_WITHIN_MS = 30_000;

/** What computes must leave the links and the disk their share of the cores. Linux: of the calling thread only. */
const NICENESS: Record<WorkSetup['work'], number> = { processor: 15, memory: 5, disk: 0, link: 0, jitter: 0 };

/** In the thread. */
export async function runBurnInWorker(setup: WorkSetup, port: MessagePort): Promise<void> {
  const stop = new AbortController();
  port.on('message', () => stop.abort());
  if (NICENESS[setup.work] > 0) setPriority(NICENESS[setup.work]);
  const tell = (figures: unknown): void => port.postMessage({ kind: 'figures', figures });
  const result = await work(setup, stop.signal, tell);
  port.postMessage({ kind: 'done', result });
  port.close();
}

function work(setup: WorkSetup, stop: AbortSignal, tell: (figures: unknown) => void): Promise<unknown> {
  switch (setup.work) {
    case 'processor':
      return processorWork(setup, stop, tell);
    case 'memory':
      return memoryWork(setup, stop, tell);
    case 'disk':
      return diskWork(setup, stop, tell);
    case 'link':
      return linkWork(setup, stop, tell);
    case 'jitter':
      return jitterWork(setup, stop, tell);
    default:
      setup satisfies never;
      throw new Error('no such work');
  }
}

export interface WorkOptions<R> {
  program: URL;
  setup: WorkSetup;
  stop: AbortSignal;
  onFigures: (figures: R) => void;
}

/** Resolves with the thread's result. Rejects when the thread dies, or does not end within 30 s after `stop`. */
export function startWork<R>({ program, setup, stop, onFigures }: WorkOptions<R>): Promise<R> {
  const worker = new Worker(program, { workerData: { role: 'burnIn', setup } satisfies BurnInRole, name: `burn-in ${setup.work}` });
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const halt = (): void => {
      worker.postMessage('stop');
      timer = setTimeout(() => {
        reject(new Error(`the thread for ${setup.work} did not end within ${STOP_WITHIN_MS / 1000} s: it is stuck in the kernel`));
        void worker.terminate();
      }, STOP_WITHIN_MS);
    };
    const end = (): void => {
      clearTimeout(timer);
      stop.removeEventListener('abort', halt);
    };
    worker.on('message', (message: Message<R>) => {
      if (message.kind === 'figures') onFigures(message.figures);
      else {
        end();
        resolve(message.result);
      }
    });
    worker.once('error', (error) => {
      end();
      reject(error);
    });
    worker.once('exit', (code) => {
      end();
      reject(new Error(`the thread for ${setup.work} ended with code ${code} before its result`));
    });
    if (stop.aborted) halt();
    else stop.addEventListener('abort', halt, { once: true });
  });
}
