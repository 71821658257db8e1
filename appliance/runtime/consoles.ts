// The consoles of this CoServer: web on the management address, the local Unix socket, and the serial line.
import { openSerialPort } from '../../drivers/serial/index.ts';
import type { CoServerConfig } from '../config.ts';
import { consoleCertificate, labAt, type ActionRequest, type SnapshotSource, startConsoleServer } from '../console/api/index.ts';
import { startSerialConsole } from '../console/serial/index.ts';
import { log } from './log.ts';

export interface ConsolesOptions extends SnapshotSource {
  config: CoServerConfig;
  /** Directory of the built web console. */
  webRoot: string;
  request: ActionRequest;
}

export async function startConsoles(options: ConsolesOptions): Promise<{ close(): Promise<void> }> {
  const { config, snapshot, onChange, request } = options;
  const say = (line: string) => log('info', `console: ${line}`);
  const certificate = await consoleCertificate({ stateDir: config.stateDir, coServer: config.coServer, names: [config.management.address] });
  const server = await startConsoleServer({
    snapshot,
    onChange,
    request,
    config: { port: config.console.port, address: config.management.address, passwordHash: config.console.passwordHash, socketPath: config.console.socket },
    tls: certificate,
    webRoot: options.webRoot,
    ...(config.labSocket ? { lab: labAt(config.labSocket) } : {}),
    log: say,
  });
  if (server.url) log('info', `web console: ${server.url}, certificate SHA-256 ${certificate.fingerprint}`);
  const port = config.console.serial ? openSerialPort({ path: config.console.serial, log: say }) : null;
  const serial = port ? startSerialConsole({ stream: port, snapshot, onChange, request, passwordHash: config.console.passwordHash, log: say }) : null;
  return {
    close: async () => {
      serial?.close();
      port?.destroy();
      await server.close();
    },
  };
}
