// `twinstep setup --state DIR --console DEVICE...`: the first start. It ends with 0 when the configuration is there: written by the
// dialogue, or put there by somebody; whoever started it then starts the CoServer.
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { openSerialPort } from '../../drivers/serial/index.ts';
import { parseArguments } from '../console/cli/parse-arguments.ts';
import type { QualifyDoor } from './hardware-reading.ts';
import type { Machine } from './plan.ts';
import { SetupHost } from './setup-host.ts';
import { startSetupScreen } from './setup-screen.ts';
import { WebAccessHost, webPlaceOf } from './web-access.ts';

/** A person drops a file and looks at the screen. */
const LOOK_EVERY_MS = 1_000;

export interface SetupParts {
  version: string;
  /** Directory of the browser's page. */
  webRoot: string;
  qualify: QualifyDoor;
  log: (line: string) => void;
  signal: AbortSignal;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

interface Options {
  state: string;
  run: string;
  console: string[];
  nics?: string;
  answers?: string;
  identity?: string;
  web?: string;
}

/** `argv`: what follows `setup`. Answers the exit code: 0 there is a configuration, 1 it was ended before, 2 wrong arguments. */
export async function runSetup(argv: readonly string[], parts: SetupParts): Promise<number> {
  const command = new Command('twinstep setup')
    .description('Asks what this server needs to know to become a CoServer, and writes its configuration.')
    .requiredOption('--state <folder>', 'the state partition: config.yaml, nics and the key come there')
    .requiredOption('--console <device...>', 'serial lines and screens to ask on; the first one becomes the serial console')
    .option('--run <folder>', 'sockets', '/run/twinstep')
    .option('--nics <names>', 'use these network ports only, separated by commas')
    .option('--answers <file>', 'an answer file, beside those that are found')
    .option('--web <where>', "in a browser, too: 'dhcp' for every port that is given an address, or ADDRESS:PORT")
    .option('--identity <hex>', 'for tests: 32 hexadecimal digits')
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, parts);
  if (code !== null) return code;
  const options = command.opts<Options>();
  if (options.identity !== undefined && !/^[0-9a-f]{32}$/.test(options.identity)) {
    parts.stderr.write('twinstep setup: --identity needs 32 hexadecimal digits\n');
    return 2;
  }
  const place = options.web === undefined ? null : webPlaceOf(options.web);
  if (place === undefined) {
    parts.stderr.write(`twinstep setup: --web needs 'dhcp' or ADDRESS:PORT, not '${options.web}'\n`);
    return 2;
  }
  mkdirSync(options.run, { recursive: true, mode: 0o700 });
  const host = new SetupHost({
    version: parts.version,
    stateFolder: options.state,
    runFolder: options.run,
    nics: options.nics?.split(',') ?? null,
    answers: options.answers ?? null,
    machine: machineHere(options.console[0] ?? ''),
    qualify: parts.qualify,
    log: parts.log,
    ...(options.identity ? { identity: options.identity } : {}),
  });
  await host.start();
  const web = place && new WebAccessHost({ host, place, webRoot: parts.webRoot, runFolder: options.run, log: parts.log });
  const screens = options.console.map((path) => {
    const line = openSerialPort({ path, log: parts.log });
    const screen = startSetupScreen(
      line,
      () => host.picture(),
      (keys) => {
        if (keys.some((k) => k.kind === 'redraw')) screen.repaint();
        host.keys(keys);
      },
    );
    host.onChange(() => screen.draw());
    return { line, screen };
  });
  // Whoever stands before the server waits for its screen, not for this.
  const webStarts = web?.start();
  const isConfigured = await ended(host, join(options.state, 'config.yaml'), parts.signal);
  for (const { line, screen } of screens) {
    screen.close();
    line.end();
    await new Promise<void>((resolve) => {
      line.once('finish', resolve);
      line.once('close', resolve);
    });
    line.destroy();
  }
  await webStarts;
  await web?.close();
  host.close();
  return isConfigured ? 0 : 1;
}

function machineHere(serial: string): Machine {
  const orNone = (path: string): string => (existsSync(path) ? path : '');
  return {
    kvm: canOpen('/dev/kvm'),
    watchdog: orNone('/dev/watchdog'),
    bmc: orNone('/dev/ipmi0'),
    serial: /\/tty\d+$/.test(serial) ? '' : serial,
  };
}

/** The device may be there and not work: then opening it fails. */
function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, 'r+'));
    return true;
  } catch {
    return false;
  }
}

function ended(host: SetupHost, config: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    let isWritten = false;
    const timer = setInterval(() => {
      // Put there by somebody: what is asked here no longer counts.
      if (!isWritten && !host.isWriting() && existsSync(config)) finish(true);
    }, LOOK_EVERY_MS);
    const finish = (isConfigured: boolean): void => {
      clearInterval(timer);
      resolve(isConfigured);
    };
    void host.done.then(() => {
      isWritten = true;
      finish(true);
    });
    signal.addEventListener('abort', () => finish(false), { once: true });
  });
}
