// What changes in the configuration of the CoServer that stays, when its partner is another server: where that is reached, and by which BMC it is
// switched off. Pure; what people wrote beside it (comments, order) stays.
import { parseDocument } from 'yaml';
import type { CoServerConfig } from '../config.ts';
import type { PartnerFacts } from '../setup/state.ts';

export interface EditedConfig {
  /** The whole file. */
  text: string;
  /** Null: none is needed. */
  password: { path: string; text: string } | null;
}

/** A key by its path, and what it is to be. */
export type Entry = readonly [path: readonly string[], value: string | number];

/** The file with these values; what is the same already, and what people wrote beside it, stays. */
export function editedYaml(source: string, entries: readonly Entry[]): string {
  const document = parseDocument(source);
  const changed = entries.filter(([path, value]) => document.getIn(path) !== value);
  for (const [path, value] of changed) document.setIn(path, value);
  return changed.length === 0 ? source : String(document);
}

export function editedConfig(
  source: string,
  config: CoServerConfig,
  partner: Pick<PartnerFacts, 'managementAddress' | 'bmc'>,
): EditedConfig {
  const other = config.coServer === 'A' ? 'B' : 'A';
  const { managementAddress, bmc } = partner;
  const entries: Entry[] = [];
  if (managementAddress !== '' && managementAddress !== config.management.peer) {
    entries.push([['management', 'peer'], managementAddress]);
    const url = config.console.urls[other];
    if (url !== '') entries.push([['console', 'urls', other], withHost(url, managementAddress)]);
  }
  // Of the old server: by its BMC the new one is not switched off, and what it says of the power proves nothing.
  if (bmc === null || bmc.address === '') {
    if (config.fence.address !== '') entries.push([['fence', 'address'], '']);
    return { text: editedYaml(source, entries), password: null };
  }
  const path = config.fence.passwordFile || `${config.stateDir}/bmc.password`;
  const { address, username, cipherSuite } = bmc;
  for (const [key, value] of Object.entries({ address, username, passwordFile: path, cipherSuite })) entries.push([['fence', key], value]);
  return { text: editedYaml(source, entries), password: { path, text: `${bmc.password}\n` } };
}

/** The address of a console, at another host. */
export function withHost(url: string, host: string): string {
  try {
    const changed = new URL(url);
    changed.hostname = host;
    return changed.href;
  } catch {
    return `https://${host}/`;
  }
}
