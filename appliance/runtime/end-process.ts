// How this process ends. Node's own end waits for every thread of its pool, and a thread that waits for a disk that does not answer
// never comes back: then only the kernel can end it.
let stuckRequests = 0;

/** Of disks, as the mirror said last: each holds a thread. */
export function noteStuckRequests(requests: number): void {
  stuckRequests = requests;
}

/** Does not return. With a stuck thread whoever keeps the process running sees a kill instead of the code. */
export function endProcess(code: number): never {
  if (stuckRequests > 0) {
    process.stderr.write(`${stuckRequests} requests of the disk do not return: the process ends by a kill instead of code ${code}\n`);
    process.kill(process.pid, 'SIGKILL');
  }
  process.exit(code);
}
