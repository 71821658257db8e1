// Which frames a NIC's queue lets pass first: by the priority of the socket they come from.
import { native } from './native.ts';

/**
 * What a TCP socket takes beyond what TCP may send now. Small: what waits in the kernel cannot be overtaken, nor go over another link. Large
 * enough that the link never waits for this process: 1 ms at 1 Gbit/s.
 */
const UNSENT_BYTES = 128 * 1024;

/**
 * Gives a TCP socket its class.
 * @param priority SO_PRIORITY, 0 to 7: what queueing disciplines sort by (tc-prio(8)).
 * @returns Why it could not be done, one sentence; empty: it is done. Never throws: without a class everything still works, only later.
 */
export function setTrafficClass(fd: number, priority: number): string {
  try {
    native().trafficClass(fd, priority, UNSENT_BYTES);
    return '';
  } catch (error) {
    return `a connection has no traffic class: ${(error as Error).message}`;
  }
}
