// The writes of one turn of the event loop go to the thread pool as one job: waking a thread costs several times what a write to
// the page cache takes. While as many jobs run as may, what comes next gathers for the following one.
import { getSystemErrorName } from 'node:util';
import { native } from './native.ts';

/** At a time: a disk has its writes done in parallel, and leaves threads for everybody else's requests. */
const JOBS = 4;
/** Of one job: a large write should not hold up the end of many small ones for long. */
const JOB_BYTES = 512 * 1024;
const JOB_WRITES = 64;

interface Waiting {
  position: number;
  bytes: number;
  parts: readonly Uint8Array[];
  resolve: () => void;
  reject: (e: NodeJS.ErrnoException) => void;
}

export class WriteQueue {
  readonly #fd: number;
  #waiting: Waiting[] = [];
  #jobs = 0;
  #scheduled = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Ends when all of it was taken by the system. Rejects with the system's error. */
  write(position: number, bytes: number, parts: readonly Uint8Array[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ position, bytes, parts, resolve, reject });
      if (this.#scheduled || this.#jobs >= JOBS) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#start();
      });
    });
  }

  #start(): void {
    while (this.#jobs < JOBS && this.#waiting.length > 0) {
      let count = 0;
      let bytes = 0;
      for (const w of this.#waiting) {
        if (count > 0 && (count >= JOB_WRITES || bytes + w.bytes > JOB_BYTES)) break;
        bytes += w.bytes;
        count++;
      }
      void this.#run(this.#waiting.splice(0, count));
    }
  }

  async #run(job: readonly Waiting[]): Promise<void> {
    this.#jobs++;
    let errors: readonly number[] | null = null;
    let failed: NodeJS.ErrnoException | undefined;
    try {
      const positions = job.map((w) => w.position);
      const counts = job.map((w) => w.parts.length);
      errors = await native().writeMany(
        this.#fd,
        positions,
        counts,
        job.flatMap((w) => w.parts),
      );
    } catch (e) {
      failed = e as NodeJS.ErrnoException;
    }
    this.#jobs--;
    this.#start();
    for (const [i, w] of job.entries()) {
      const errno = errors?.[i] ?? 0;
      if (failed) w.reject(failed);
      else if (errno === 0) w.resolve();
      else w.reject(systemError(errno));
    }
  }
}

function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code}: write failed`), { code, errno: -errno, syscall: 'pwritev' });
}
