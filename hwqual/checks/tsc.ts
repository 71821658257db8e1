// The processor's clock: the guest's time comes from it.
import { type Check, must } from './check.ts';

export const tsc: Check = {
  id: 'tsc',
  title: 'Clock of the processors',
  purpose: 'A clock that stands still or jumps makes replicas differ, and time-outs wrong.',
  requires: '/proc/cpuinfo, /sys/devices/system/clocksource',
  run: (a, b) => [
    must({
      id: 'tsc.stable',
      title: 'Clock of the processors (TSC) to be trusted',
      a: a.inventory.tsc.stable,
      b: b.inventory.tsc.stable,
      holds: (v) => v === true,
      rule: 'The kernel takes its time from the TSC and has not marked it unstable.',
    }),
  ],
};
