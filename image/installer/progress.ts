// How far a writing or reading is: bytes, rate, and when it will be done. Pure. The rate is that of the last few seconds: a disk's cache makes
// the first ones fast.
import { ageText, percentText, rateText, sizeText } from '../../appliance/console/format.ts';

const WINDOW_MS = 5_000;
/** One sample a drawing, at most. */
const MAX_SAMPLES = 64;

export interface Progress {
  total: number;
  done: number;
  samples: readonly { at: number; done: number }[];
}

export const freshProgress = (total: number, at: number): Progress => ({ total, done: 0, samples: [{ at, done: 0 }] });

/** `at`: monotonic ms. */
export function advanced(p: Progress, done: number, at: number): Progress {
  const recent = p.samples.filter((s, i) => at - s.at <= WINDOW_MS || i === p.samples.length - 1);
  return { ...p, done, samples: [...recent, { at, done }].slice(-MAX_SAMPLES) };
}

/** '41 MB of 190 MB, 21.6 %, 12.3 MB/s, 12 s left' */
export function progressText(p: Progress): string {
  const [first] = p.samples;
  const last = p.samples.at(-1);
  const parts = [`${sizeText(p.done)} of ${sizeText(p.total)}`, percentText(p.done / p.total)];
  if (first && last && last.at > first.at && last.done > first.done) {
    const bytesPerS = ((last.done - first.done) / (last.at - first.at)) * 1000;
    parts.push(rateText(bytesPerS));
    if (p.done < p.total) parts.push(`${ageText(((p.total - p.done) / bytesPerS) * 1000)} left`);
  }
  return parts.join(', ');
}
