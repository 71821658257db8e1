// SMART and the latency of all disks of this server: also of those that the mirror does not use, since the appliance starts from them.
import { type CountersOptions, readDisks } from '../../drivers/counters/index.ts';
import { Smart, SmartError } from '../../drivers/smart/index.ts';
import type { SmartReading } from '../core/faults/types.ts';
import type { Punctuality } from './punctuality.ts';
import { Absent, type Reader } from './reader.ts';

/** Each asks the disk for about ten pages, and wakes it if it sleeps. */
const SMART_EVERY_MS = 120_000;
const LATENCY_EVERY_MS = 5_000;
/** Real disks; no loop devices, RAM disks, mappings, floppies or CD drives. */
const DISK = /^\/dev\/(sd[a-z]+|nvme\d+n\d+|hd[a-z]|vd[a-z]+|xvd[a-z]+)$/;

/** Of idle disks nothing is read to see how long that takes: the mirror's scrub reads each copy in turn, SMART asks them all. */
export function latencyReader(punctuality: Pick<Punctuality, 'totalSince'>, counters: CountersOptions = {}): Reader {
  let readAt = performance.now();
  return {
    source: 'disks',
    everyMs: LATENCY_EVERY_MS,
    read: async () => {
      const all = await readDisks(counters);
      const lateMs = punctuality.totalSince(readAt);
      readAt = performance.now();
      return { source: 'disks', disks: all.filter((d) => DISK.test(d.disk)), lateMs };
    },
  };
}

export function smartReader(everyMs = SMART_EVERY_MS, smart = new Smart(), counters: CountersOptions = {}): Reader {
  return {
    source: 'smart',
    everyMs,
    read: async () => {
      const disks: SmartReading[] = [];
      const failed: { disk: string; reason: string }[] = [];
      let lastWithout = 'no disks';
      for (const { disk } of await readDisks(counters)) {
        if (!DISK.test(disk)) continue;
        try {
          disks.push(await smart.read({ path: disk }));
        } catch (e) {
          if (!(e instanceof SmartError)) throw e;
          if (e.kind === 'missing' || e.kind === 'refused') throw e;
          if (e.kind === 'unsupported') lastWithout = e.message;
          else failed.push({ disk, reason: e.message });
        }
      }
      if (disks.length === 0 && failed.length === 0) throw new Absent(lastWithout);
      return { source: 'smart', disks, failed };
    },
    close: () => smart.close(),
  };
}
