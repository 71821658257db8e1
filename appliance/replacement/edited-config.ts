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

export function editedConfig(
  source: string,
  config: CoServerConfig,
  partner: Pick<PartnerFacts, 'managementAddress' | 'bmc'>,
): EditedConfig {
  const document = parseDocument(source);
  const other = config.coServer === 'A' ? 'B' : 'A';
  const { managementAddress, bmc } = partner;
  if (managementAddress !== '' && managementAddress !== config.management.peer) {
    document.setIn(['management', 'peer'], managementAddress);
    const url = config.console.urls[other];
    if (url !== '') document.setIn(['console', 'urls', other], withHost(url, managementAddress));
  }
  // Of the old server: by its BMC the new one is not switched off, and what it says of the power proves nothing.
  if (bmc === null || bmc.address === '') {
    if (config.fence.address !== '') document.setIn(['fence', 'address'], '');
    return { text: String(document), password: null };
  }
  const path = config.fence.passwordFile || `${config.stateDir}/bmc.password`;
  for (const [key, value] of Object.entries({
    address: bmc.address,
    username: bmc.username,
    passwordFile: path,
    cipherSuite: bmc.cipherSuite,
  }))
    document.setIn(['fence', key], value);
  return { text: String(document), password: { path, text: `${bmc.password}\n` } };
}

function withHost(url: string, host: string): string {
  try {
    const changed = new URL(url);
    changed.hostname = host;
    return changed.href;
  } catch {
    return `https://${host}/`;
  }
}
