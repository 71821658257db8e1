// The consoles of this CoServer: web on the management address, the local Unix socket, and the serial line.
import { openSerialPort } from '../../drivers/serial/index.ts';
import type { CoServerConfig } from '../config.ts';
import {
  type ActionRequest,
  consoleCertificate,
  labAt,
  type PointRequest,
  type SnapshotSource,
  startConsoleServer,
} from '../console/api/index.ts';
import { startSerialConsole } from '../console/serial/index.ts';
import type { SettingsRequest } from '../console/settings-state.ts';
import { ownRecoveryKeys } from '../encryption/new-recovery-key.ts';
import { findPlace, isAppliance, type PairUpdater, prepareRestart, UpdateStore, UploadDesk, whyNotRestart } from '../update/index.ts';
import { log } from './log.ts';

export interface ConsolesOptions extends SnapshotSource {
  config: CoServerConfig;
  /** Directory of the built web console. */
  webRoot: string;
  request: ActionRequest;
  points?: PointRequest;
  /** The update of the pair; null: not yet. */
  pairUpdate?: () => PairUpdater | null;
  /** Missing: nothing can be changed here. */
  settings?: SettingsRequest;
  /** What is known of the two servers' hardware, JSON. Missing or null: nobody asks. */
  qualification?: () => object | null;
}

export interface Consoles {
  /** From now on, on all of them; all sessions but this one end. */
  setPassword(hash: string, session: string): void;
  close(): Promise<void>;
}

export async function startConsoles(options: ConsolesOptions): Promise<Consoles> {
  const { config, onChange, request } = options;
  const say = (line: string) => log('info', `console: ${line}`);
  const certificate = await consoleCertificate({
    stateDir: config.stateDir,
    coServer: config.coServer,
    names: [config.management.address],
  });
  const { urls, port: tlsPort } = config.console;
  const own = urls[config.coServer] || `https://${config.management.address}:${tlsPort}`;
  const other: 'A' | 'B' = config.coServer === 'A' ? 'B' : 'A';
  const here = tlsPort === 0 ? [] : [{ coServer: config.coServer, url: own, fingerprint: certificate.fingerprint }];
  // The other one's may become another while this process runs.
  const there = () => (tlsPort !== 0 && urls[other] ? [{ coServer: other, url: urls[other], fingerprint: null } as const] : []);
  const snapshot = () => ({ ...options.snapshot(), consoles: [...here, ...there()] });
  const updating = updates(options, say);
  const settings = options.settings ? { settings: options.settings } : {};
  const server = await startConsoleServer({
    snapshot,
    onChange,
    request,
    ...(options.points ? { points: options.points } : {}),
    ...updating,
    ...settings,
    ...(options.qualification ? { qualification: options.qualification } : {}),
    config: {
      port: tlsPort,
      address: config.management.address,
      passwordHash: config.console.passwordHash,
      socketPath: config.console.socket,
    },
    tls: certificate,
    webRoot: options.webRoot,
    ...(config.labSocket ? { lab: labAt(config.labSocket) } : {}),
    log: say,
  });
  if (server.url) log('info', `web console: ${server.url}, certificate SHA-256 ${certificate.fingerprint}`);
  const port = config.console.serial ? openSerialPort({ path: config.console.serial, log: say }) : null;
  const recoveryKeys = ownRecoveryKeys(`${config.runDir}/keys`);
  const { passwordHash } = config.console;
  const serial = port
    ? startSerialConsole({
        ...{ stream: port, snapshot, onChange, request, ...updating, ...settings, passwordHash, log: say },
        ...(recoveryKeys ? { recoveryKeys } : {}),
      })
    : null;
  return {
    setPassword: (hash, session) => {
      server.setPassword(hash, session);
      serial?.setPassword(hash, session);
    },
    close: async () => {
      serial?.close();
      port?.destroy();
      await server.close();
    },
  };
}

/** Where an image was started, it can be updated. */
function updates({ snapshot, pairUpdate }: ConsolesOptions, say: (line: string) => void): { updates?: UploadDesk } {
  if (!isAppliance()) return {};
  try {
    const why = () => whyNotRestart(snapshot());
    const pair = pairUpdate ? { pair: pairUpdate } : {};
    return {
      updates: new UploadDesk({ store: new UpdateStore(findPlace()), whyNotRestart: why, prepareRestart, log: say, ...pair }),
    };
  } catch (error) {
    say(`no updates here: ${(error as Error).message}`);
    return {};
  }
}
