// Can the partner be switched off from here when it must be? Its BMC answers with our credentials, and tells the truth: the partner is on.
import { setTimeout as sleep } from 'node:timers/promises';
import { type IpmiOptions, openLocalIpmi, type PowerReading, readPower } from '../../drivers/ipmi/index.ts';
import { type BurnInTest, outcome, rounded, type TestContext } from './context.ts';
import type { Figure, TestResult } from './result.ts';

export const bmc: BurnInTest = { id: 'bmc', title: 'BMC', run };

/** Longer than a BMC keeps an old reading; each in a session of its own. */
const BETWEEN_MS = 1_000;

export interface BmcDoors {
  partner(target: IpmiOptions, signal: AbortSignal): Promise<PowerReading>;
  /** The firmware's version. */
  own(device: string, signal: AbortSignal): Promise<string>;
}

const REAL: BmcDoors = {
  partner: (target, signal) => readPower(target, { signal }),
  own: async (device, signal) => {
    const local = await openLocalIpmi(device, { signal });
    try {
      return (await local.deviceId()).firmware;
    } finally {
      await local.close();
    }
  },
};

async function run(context: TestContext): Promise<TestResult> {
  return checkBmcs(context.options, REAL, context.stop, context.show);
}

export async function checkBmcs(
  { fence, ownBmc, coServer }: TestContext['options'],
  doors: BmcDoors,
  stop: AbortSignal,
  show: (text: string) => void,
): Promise<TestResult> {
  const other = coServer === 'A' ? 'B' : 'A';
  const figures: Record<string, Figure> = { ownDevice: ownBmc === '' ? null : ownBmc, partnerAddress: fence?.address ?? null };
  const wrong: string[] = [];
  const missing: string[] = [];
  const well: string[] = [];
  if (fence === null) missing.push(`no BMC of ${other} is configured (fence.address)`);
  else
    try {
      const first = await doors.partner(fence, stop);
      show(`${other}'s BMC says that it is ${first.on ? 'on' : 'off'}, asking again`);
      await sleep(BETWEEN_MS, undefined, { signal: stop });
      const second = await doors.partner(fence, stop);
      Object.assign(figures, {
        firstTookMs: Math.round(first.tookMs),
        secondTookMs: Math.round(second.tookMs),
        cipherSuite: second.cipherSuite,
      });
      if (first.on && second.on) well.push(`${other}'s BMC says twice that it is on (${rounded(second.tookMs / 1000, 2)} s)`);
      else wrong.push(`${other}'s BMC says that it is off: switch it on, or fence.address is another server's`);
    } catch (error) {
      if (stop.aborted) missing.push(`${other}'s BMC had not answered when the time was over`);
      else wrong.push(`${other}'s BMC: ${(error as Error).message}`);
    }
  if (ownBmc === '') missing.push('this server has no BMC of its own (hardware.bmc)');
  else
    try {
      const firmware = await doors.own(ownBmc, stop);
      figures['ownFirmware'] = firmware;
      well.push(`its own answers (${ownBmc}, firmware ${firmware})`);
    } catch (error) {
      if (stop.aborted) missing.push(`${ownBmc} had not answered when the time was over`);
      else wrong.push(`${ownBmc}: ${(error as Error).message}`);
    }
  show([...wrong, ...well].join('; '));
  if (wrong.length > 0) return outcome(bmc, 'fail', wrong.join('; '), figures);
  // The partner's is the one that counts: level 3 with a fence stands on it.
  if (fence === null || well.length === 0) return outcome(bmc, 'notTested', [...missing, ...well].join('; '), figures);
  return outcome(bmc, 'pass', [...well, ...missing].join('; '), figures);
}
