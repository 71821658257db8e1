// A clock outside of this process that resets the machine unless it is renewed in time.
import { linuxKernel, openKernelWatchdog } from './device.ts';
import { openSocketWatchdog } from './socket.ts';
import type { Watchdog, WatchdogKernel, WatchdogOptions } from './types.ts';

export * from './codec.ts';
export { openKernelWatchdog } from './device.ts';
export type { Watchdog, WatchdogKernel, WatchdogOptions } from './types.ts';

const SOCKET = 'unix:';

/**
 * Resolves with its clock running: the first renewal is due within the time-out. Rejects with a sentence that names the device and what to do.
 * @param ioctl The one of drivers/ethernet: it is the same call, and one addon is enough.
 */
export async function openWatchdog(options: WatchdogOptions & { ioctl: WatchdogKernel['ioctl'] }): Promise<Watchdog> {
  if (options.device.startsWith(SOCKET)) return openSocketWatchdog(options.device.slice(SOCKET.length), options);
  return openKernelWatchdog(options, linuxKernel(options.ioctl));
}
