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
import type { Snapshot } from '../core/snapshot.ts';
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
  /** What is known of the two servers' hardware, JSON. Missing or null: nobody asks. */
  qualification?: () => object | null;
}

export async function startConsoles(options: ConsolesOptions): Promise<{ close(): Promise<void> }> {
  const { config, onChange, request } = options;
  const say = (line: string) => log('info', `console: ${line}`);
  const certificate = await consoleCertificate({
    stateDir: config.stateDir,
    coServer: config.coServer,
    names: [config.management.address],
  });
  const { urls, port: tlsPort } = config.console;
  const own = urls[config.coServer] || `https://${config.management.address}:${tlsPort}`;
  const other = config.coServer === 'A' ? 'B' : 'A';
  const consoles: Snapshot['consoles'] =
    tlsPort === 0 ? [] : [{ coServer: config.coServer, url: own, fingerprint: certificate.fingerprint }];
  if (tlsPort !== 0 && urls[other]) consoles.push({ coServer: other, url: urls[other], fingerprint: null });
  const snapshot = () => ({ ...options.snapshot(), consoles });
  const updating = updates(options, say);
  const server = await startConsoleServer({
    snapshot,
    onChange,
    request,
    ...(options.points ? { points: options.points } : {}),
    ...updating,
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
  const serial = port
    ? startSerialConsole({ stream: port, snapshot, onChange, request, ...updating, passwordHash: config.console.passwordHash, log: say })
    : null;
  return {
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
