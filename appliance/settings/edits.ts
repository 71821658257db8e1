// What a change is in the files of this server. Pure; what people wrote beside the keys stays (replacement/edited-config.ts).
import type { CoServerConfig } from '../config.ts';
import { type Entry, editedYaml, withHost } from '../replacement/edited-config.ts';
import { otherOf } from './changes.ts';
import { type ManagementAddress, withManagement } from './nics.ts';

/** As they are now. */
export interface Sources {
  config: CoServerConfig;
  configFile: string;
  /** The text of it. */
  source: string;
}

export interface NewFile {
  path: string;
  text: string;
}

const edited = ({ configFile, source }: Sources, entries: readonly Entry[]): NewFile => ({
  path: configFile,
  text: editedYaml(source, entries),
});

export const passwordFiles = (s: Sources, hash: string): NewFile[] => [edited(s, [[['console', 'passwordHash'], hash]])];

export const witnessFiles = (s: Sources, { address, port }: CoServerConfig['witness']): NewFile[] => [
  edited(s, [
    [['witness', 'address'], address],
    [['witness', 'port'], port],
  ]),
];

/** What the first start proposes for each: at level 2 the partner waits so long before it starts the guest. */
const WATCHDOG_S: Readonly<Record<2 | 3, number>> = { 2: 3, 3: 10 };

/** The watchdog's time-out goes along where it is what the first start proposes. */
export function levelFiles(s: Sources, level: 2 | 3): NewFile[] {
  const isProposed = s.config.watchdog.timeoutS === WATCHDOG_S[level === 2 ? 3 : 2];
  return [
    edited(s, [[['workload', 'level'], level], ...(isProposed ? [[['watchdog', 'timeoutS'], WATCHDOG_S[level]] satisfies Entry] : [])]),
  ];
}

/** Of this server. @param nics The file beside the configuration, with its text. */
export function managementFiles(s: Sources, nics: NewFile, to: ManagementAddress): NewFile[] {
  const { config } = s;
  const host = to.address.split('/')[0] ?? '';
  const url = config.console.urls[config.coServer];
  return [
    { path: nics.path, text: withManagement(nics.text, config, to) },
    edited(s, [
      [['management', 'address'], host],
      ...(url === '' ? [] : [[['console', 'urls', config.coServer], withHost(url, host)] satisfies Entry]),
    ]),
  ];
}

/** Where the other CoServer is reached from now on. */
export function peerFiles(s: Sources, host: string): NewFile[] {
  const { config } = s;
  const other = otherOf(config);
  const url = config.console.urls[other];
  return [
    edited(s, [[['management', 'peer'], host], ...(url === '' ? [] : [[['console', 'urls', other], withHost(url, host)] satisfies Entry])]),
  ];
}

export interface FenceAccess {
  address: string;
  username: string;
  /** null: as it is. */
  password: string | null;
  cipherSuite: 3 | 17;
}

export function fenceFiles(s: Sources, { address, username, password, cipherSuite }: FenceAccess): NewFile[] {
  if (address === '') return [edited(s, [[['fence', 'address'], '']])];
  const passwordFile = passwordFileOf(s.config);
  const keys = Object.entries({ address, username, passwordFile, cipherSuite });
  const config = edited(
    s,
    keys.map(([key, value]): Entry => [['fence', key], value]),
  );
  return [...(password === null ? [] : [{ path: passwordFile, text: `${password}\n` }]), config];
}

export const passwordFileOf = ({ fence, stateDir }: CoServerConfig): string => fence.passwordFile || `${stateDir}/bmc.password`;
