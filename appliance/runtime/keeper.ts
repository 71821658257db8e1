// The watchdog's keeper of this process: which device, and which threads must answer before it is renewed.
import { ioctl } from '../../drivers/ethernet/index.ts';
import { openWatchdog } from '../../drivers/watchdog/index.ts';
import type { CoServerConfig } from '../config.ts';
import { WatchdogKeeper, type WatchdogSetup } from './effects/watchdog.ts';
import type { History } from './history.ts';
import type { Workers } from './workers.ts';

export function keeperOf(
  { device, timeoutS }: CoServerConfig['watchdog'],
  workers: Pick<Workers, 'heartbeat' | 'gate'>,
  history: Pick<History, 'add'>,
  onArmed: NonNullable<WatchdogSetup['onArmed']>,
): WatchdogKeeper {
  return new WatchdogKeeper({
    device,
    timeoutMs: timeoutS * 1000,
    open: (options) => openWatchdog({ ...options, ioctl }),
    questions: {
      'the heartbeat': () => workers.heartbeat.call('status', {}),
      'the gate': () => workers.gate.call('status', {}),
    },
    tell: (severity, text) => history.add({ severity, row: null, text }),
    onArmed,
    now: () => performance.now(),
  });
}
