// Power of a server by its BMC over RMCP+: the same code for an emulated and for a real one.
import { setTimeout as sleep } from 'node:timers/promises';
import { type IpmiOptions, openIpmi, powerOffVerified, readPower } from '../../drivers/ipmi/index.ts';
import { LabError } from './lab-error.ts';
import type { LabPower } from './lab-interface.ts';

/** From the command until the BMC says "on": a real one takes some seconds. */
const ON_TIMEOUT_MS = 30_000;
const LOOK_MS = 500;

/** `name`: of the server, for errors. All methods throw the IpmiErrors of drivers/ipmi, `off` a PowerOffError. */
export function powerByBmc(name: string, target: IpmiOptions): LabPower {
  const status = async () => ((await readPower(target)).on ? 'on' : 'off');
  return {
    status,
    off: () => powerOffVerified(target),
    on: async () => {
      const session = await openIpmi(target);
      try {
        await session.chassisControl('on');
      } finally {
        await session.close();
      }
      const deadline = performance.now() + ON_TIMEOUT_MS;
      // No BMC tells by itself: it is asked.
      while ((await status()) === 'off') {
        if (performance.now() > deadline)
          throw new LabError(
            `the BMC of ${name} took the command and still says off after ${ON_TIMEOUT_MS / 1000} s`,
            "look at the BMC's own log",
          );
        await sleep(LOOK_MS);
      }
    },
  };
}
