// What the commands of the burn-in take after their options: times, shares, tests, an area of a disk. Errors are commander's.
import { InvalidArgumentError } from 'commander';
import type { ScratchOptions } from './context.ts';
import { TEST_IDS, type TestId } from './result.ts';

const LONGEST_S = 7 * 86_400;

/** "90s", "10m", "24h"; of a number alone: seconds. */
export function seconds(text: string): number {
  const [, amount = '', unit = 's'] = /^(\d{1,6})([smh]?)$/.exec(text) ?? [];
  const value = Number(amount) * ({ s: 1, m: 60, h: 3600 }[unit || 's'] ?? 1);
  if (amount === '' || value < 1 || value > LONGEST_S)
    throw new InvalidArgumentError('a time like 90s, 10m or 24h is needed, of at most 7 days');
  return value;
}

export function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0.01 && value <= 0.95)) throw new InvalidArgumentError('a number from 0.01 to 0.95 is needed');
  return value;
}

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is needed`);
    return value;
  };
}

export function testIds(text: string): TestId[] {
  return text.split(',').map((name) => {
    const id = TEST_IDS.find((known) => known === name);
    if (!id) throw new InvalidArgumentError(`there is no test ${name}: ${TEST_IDS.join(', ')}`);
    return id;
  });
}

export function diskArea(text: string): NonNullable<ScratchOptions['area']> {
  const [, path = '', offset = '', length = ''] = /^(\/.+):(\d{1,9}):(\d{1,9})$/.exec(text) ?? [];
  if (path === '') throw new InvalidArgumentError('a device, an offset and a length in MiB are needed: /dev/sdb:1024:512');
  return { path, offsetMiB: Number(offset), lengthMiB: Number(length) };
}
