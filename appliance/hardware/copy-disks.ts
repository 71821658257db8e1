// Which faults are of a disk that holds the workload's copy: the pair gives that copy up for them; for any other disk of this server it does
// not. Looked up again from time to time, because disks are replaced and mounted while this runs.
import { disksBelow } from '../../drivers/block/index.ts';
import { CATALOGUE } from '../core/faults/catalogue.ts';
import type { Fault } from '../core/faults/types.ts';

export type FindDisks = (path: string) => Promise<string[] | null>;

const LOOK_AGAIN_MS = 30_000;
/** A file system that hangs answers nothing: then it is not known yet, and the readings begin. */
const FIRST_WITHIN_MS = 2_000;

export class CopyDisks {
  readonly #path: string;
  readonly #find: FindDisks;
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #disks: readonly string[] | null = null;

  constructor(path: string, find: FindDisks = disksBelow) {
    this.#path = path;
    this.#find = find;
  }

  /** Resolves when it is known for the first time, or takes too long. */
  async start(onChange: () => void): Promise<void> {
    this.#timer = setInterval(() => void this.#look(onChange), LOOK_AGAIN_MS);
    let tooLong: NodeJS.Timeout | undefined;
    const given = new Promise<void>((resolve) => {
      tooLong = setTimeout(resolve, FIRST_WITHIN_MS);
    });
    await Promise.race([this.#look(onChange), given]);
    clearTimeout(tooLong);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  mark(faults: readonly Fault[]): Fault[] {
    return faults.map((fault) => {
      if (CATALOGUE[fault.code].component !== 'disk' || this.#disks === null) return fault;
      return { ...fault, holdsCopy: this.#disks.some((disk) => isOn(fault.where, disk)) };
    });
  }

  async #look(onChange: () => void): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const disks = await this.#find(this.#path);
      // What was known stands: a path that is gone has not moved to another disk.
      if (disks === null || disks.join() === this.#disks?.join()) return;
      this.#disks = disks;
      onChange();
    } catch {
      // Not known is an answer, too.
    } finally {
      this.#isLooking = false;
    }
  }
}

/** "/dev/sda", "/dev/sda (MODEL, serial S1)", "/dev/sda1", "/dev/nvme0n1p2"; not "/dev/sdaa". */
function isOn(where: string, disk: string): boolean {
  if (!where.startsWith(disk)) return false;
  const rest = where.slice(disk.length);
  return /^(?:$| )/.test(rest) || (/\d$/.test(disk) ? /^p\d/ : /^\d/).test(rest);
}
