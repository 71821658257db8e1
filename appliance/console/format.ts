// Words for numbers: sizes, rates, durations and times as every console writes them. Pure; UTC, so that both CoServers' consoles agree.

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

function threeDigits(n: number): string {
  if (n >= 100 || Number.isInteger(n)) return String(Math.round(n));
  return n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

/** 0 -> '0 B', 43_000_000 -> '43 MB' (decimal units). */
export function sizeText(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return 'unknown';
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${SIZE_UNITS[unit] ?? 'B'}`;
}

export function rateText(bytesPerS: number): string {
  const size = sizeText(bytesPerS);
  return size === 'unknown' ? size : `${size}/s`;
}

const two = (n: number): string => String(n).padStart(2, '0');

/** Milliseconds below one second, then two units at most: '0.28 ms', '12 ms', '1.42 s', '3 min 05 s', '3 h 12 min', '5 d 3 h'. */
export function durationText(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return 'unknown';
  if (ms < 999.5) return ms >= 10 ? `${Math.round(ms)} ms` : `${threeDigits(ms)} ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  const min = Math.floor(s / 60);
  if (min < 60 * 24) return `${Math.floor(min / 60)} h ${two(min % 60)} min`;
  const h = Math.floor(min / 60);
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

/** Whole seconds: for texts that would otherwise flicker. */
export function ageText(ms: number): string {
  if (ms >= 0 && ms < 1000) return 'less than 1 s';
  return ms >= 1000 && ms < 60_000 ? `${Math.floor(ms / 1000)} s` : durationText(ms);
}

function iso(at: number): string | null {
  return Number.isFinite(at) && Math.abs(at) < 8.64e15 ? new Date(at).toISOString() : null;
}

/** '2025-11-20' */
export function dateText(at: number): string {
  return iso(at)?.slice(0, 10) ?? 'unknown';
}

/** '23:47:12' or '23:47:12.345' */
export function clockText(at: number, withMs = false): string {
  return iso(at)?.slice(11, withMs ? 23 : 19) ?? 'unknown';
}

export function millisecondsText(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  return ms < 10 && !Number.isInteger(ms) ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** 0.987 -> '98.7 %'. Only all of it is 100 %, and only nothing is 0 %. */
export function percentText(fraction: number): string {
  if (!Number.isFinite(fraction)) return 'unknown';
  if (fraction <= 0) return '0 %';
  if (fraction >= 1) return '100 %';
  return `${Math.min(99.9, Math.max(0.1, fraction * 100)).toFixed(1)} %`;
}

export function countText(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** Control characters could move a terminal's cursor or hide text: they become '?'. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '?');
}
