// Versions of the appliance: three numbers. No words behind them: the boot loader would order those otherwise than people do. Pure.

const VERSION = /^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$/;

export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

/** Below 0: `a` is older. Both must be versions. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbers(version: string): number[] {
  if (!isVersion(version)) throw new Error(`'${version}' is no version: three numbers, as in 1.2.0`);
  return version.split('.').map(Number);
}
