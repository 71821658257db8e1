// The line of the management port in the file `nics` (setup/plan.ts): name, MAC address, address/prefix, and a router where there is one. Pure.
import { dirname, join } from 'node:path';
import type { CoServerConfig } from '../config.ts';

export interface ManagementAddress {
  /** With the length of its network: 192.0.2.21/24. */
  address: string;
  /** '': none. */
  gateway: string;
}

export const nicsFileOf = (configFile: string): string => join(dirname(configFile), 'nics');

const wordsOf = (line: string): string[] => line.trim().split(/\s+/);

const isOf = (config: CoServerConfig) => {
  const { nic, address } = config.management;
  return ([name, , cidr]: readonly string[]): boolean => name === nic && cidr?.split('/')[0] === address;
};

/** Null: the file does not set this address, so it is somebody else's. */
export function managementOf(nics: string | null, config: CoServerConfig): ManagementAddress | null {
  const found = (nics ?? '').split('\n').map(wordsOf).find(isOf(config));
  return found ? { address: found[2] ?? '', gateway: found[3] ?? '' } : null;
}

/** The file with another address. */
export function withManagement(nics: string, config: CoServerConfig, { address, gateway }: ManagementAddress): string {
  const isIt = isOf(config);
  return nics
    .split('\n')
    .map((line) => {
      const [name, mac, ...rest] = wordsOf(line);
      return isIt([name ?? '', mac ?? '', ...rest]) ? `${name} ${mac} ${address} ${gateway}`.trimEnd() : line;
    })
    .join('\n');
}
