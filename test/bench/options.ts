// The command's flags, checked: a wrong one is told with what would be right.
import { MEASURES, type MeasureName } from './measure.ts';
import { MIRROR_VARIANTS, type MirrorVariant } from './mirror/variants.ts';
import { MIRROR_MEASURES, type MirrorMeasure } from './mirror-bench.ts';
import { VARIANTS, type VariantName } from './variants/variant.ts';

export interface BenchOptions {
  seconds: number;
  rounds: number;
  variants: VariantName[];
  measures: MeasureName[];
}

export const DEFAULTS = { seconds: 5, rounds: 3 } as const;
export const MIRROR_DEFAULTS = { seconds: 2, rounds: 3 } as const;
/** Above, a run takes hours: a mistake. */
const MAX_SECONDS = 120;
const MAX_ROUNDS = 50;

export class OptionError extends Error {}

interface RawChoice {
  seconds?: string;
  rounds?: string;
  variants?: string;
  measures?: string;
}

export function parseMirrorOptions(raw: RawChoice): {
  seconds: number;
  rounds: number;
  variants: MirrorVariant[];
  measures: MirrorMeasure[];
} {
  return {
    seconds: number('--seconds', raw.seconds ?? String(MIRROR_DEFAULTS.seconds), { least: 1, most: MAX_SECONDS, whole: false }),
    rounds: number('--rounds', raw.rounds ?? String(MIRROR_DEFAULTS.rounds), { least: 1, most: MAX_ROUNDS, whole: true }),
    variants: names('--variants', raw.variants, MIRROR_VARIANTS),
    measures: names('--measures', raw.measures, MIRROR_MEASURES),
  };
}

export function parseOptions(raw: RawChoice): BenchOptions {
  return {
    seconds: number('--seconds', raw.seconds ?? String(DEFAULTS.seconds), { least: 1, most: MAX_SECONDS, whole: false }),
    rounds: number('--rounds', raw.rounds ?? String(DEFAULTS.rounds), { least: 1, most: MAX_ROUNDS, whole: true }),
    variants: names('--variants', raw.variants, VARIANTS),
    measures: names('--measures', raw.measures, MEASURES),
  };
}

function number(flag: string, text: string, { least, most, whole }: { least: number; most: number; whole: boolean }): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < least || value > most || (whole && !Number.isInteger(value)))
    throw new OptionError(`${flag} ${text}: give a ${whole ? 'whole ' : ''}number from ${least} to ${most}`);
  return value;
}

/** In the order in which they are known, not in which they were given: reports of two runs read alike. */
function names<T extends string>(flag: string, text: string | undefined, known: readonly T[]): T[] {
  if (text === undefined) return [...known];
  const asked = text.split(',').map((word) => word.trim());
  for (const word of asked)
    if (!known.some((name) => name === word)) throw new OptionError(`${flag}: there is no "${word}"; there are: ${known.join(', ')}`);
  return known.filter((name) => asked.includes(name));
}
