// Is this the engine the product was qualified with? Older ones deadlock at checkpoints or leave stale memory, silently.
import type { EngineVersion } from './codec.ts';

export class EngineVersionError extends Error {
  override name = 'EngineVersionError';
}

export function formatVersion(v: EngineVersion): string {
  return `${v.major}.${v.minor}.${v.micro}`;
}

/**
 * Throws EngineVersionError unless the version is `qualified` or starts with it ("11.1" accepts 11.1.3 but not 11.10.0).
 * @param found From the greeting (`QmpClient.version`).
 */
export function checkVersion(found: EngineVersion, qualified: string): void {
  const text = formatVersion(found);
  if (text === qualified || text.startsWith(`${qualified}.`)) return;
  const from = found.package ? ` (${found.package})` : '';
  throw new EngineVersionError(
    `engine ${text}${from} found, this build was qualified with ${qualified}: install QEMU ${qualified}, as the engine root that comes with this product has it`,
  );
}
