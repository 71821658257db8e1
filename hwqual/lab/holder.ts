// Holds a lab in this process: answers its control socket, and takes everything down on a signal, on request, or on a failure.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { parseBreak } from './break-secondary.ts';
import { ControlSocket, type LabRequest } from './control-socket.ts';
import { parseDiskAction } from './disk-faults.ts';
import { Lab } from './lab.ts';
import { parseBmcFault } from './lab-bmc.ts';
import { LabError } from './lab-error.ts';
import type { LabParts } from './prepare.ts';
import { CO_SERVERS, coServerPaths, type LabSettings, type LinkNumber, labPaths } from './settings.ts';
import { readSnapshot } from './snapshot-client.ts';

export interface HeldLab {
  lab: Lab;
  /** Resolves when the lab is gone. */
  gone: Promise<void>;
  takeDown: () => Promise<void>;
}

export async function holdLab(settings: LabSettings, parts: LabParts, tell: (text: string) => void): Promise<HeldLab> {
  const aborted = abortedBySignal();
  const lab = await Lab.up(settings, parts, tell);
  let control: ControlSocket | undefined;
  let finish: (error?: unknown) => void = () => undefined;
  const gone = new Promise<void>((resolve, reject) => {
    finish = (error) => (error === undefined ? resolve() : reject(error));
  });
  gone.catch(() => undefined);
  let going: Promise<void> | undefined;
  const takeDown = () => {
    going ??= (async () => {
      try {
        await lab.down();
        await control?.close();
        finish();
      } catch (error) {
        finish(error);
        throw error;
      }
    })();
    return going;
  };
  if (aborted.aborted) {
    await takeDown();
    throw new LabError('interrupted; nothing was left behind');
  }
  aborted.addEventListener('abort', () => void takeDown().catch(() => undefined));
  try {
    control = await ControlSocket.listen(labPaths(settings).controlSocket, (request, closed) => obey(lab, request, closed, takeDown));
  } catch (error) {
    await takeDown();
    throw error;
  }
  return { lab, gone, takeDown };
}

/** Aborted by the first signal that asks us to end; a second one changes nothing: what is under way ends first. */
function abortedBySignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

export function parseCoServer(text: string): CoServerName {
  const name = text.toUpperCase();
  if (name === 'A' || name === 'B') return name;
  throw new LabError(`"${text}" is not a CoServer`, 'give A or B');
}

export function parseLink(text: string): LinkNumber {
  if (text === '1') return 1;
  if (text === '2') return 2;
  throw new LabError(`"${text}" is not a link`, 'give 1 or 2');
}

async function obey(lab: Lab, request: LabRequest, closed: Promise<void>, takeDown: () => Promise<void>): Promise<unknown> {
  const { action, target } = request;
  switch (action) {
    case 'power-off': {
      const [name = '', seed] = target.split(':');
      return lab.powerOff(parseCoServer(name), seed === undefined ? undefined : Number(seed));
    }
    case 'power-off-at': {
      const [name = '', point = '', share, delayMs] = target.split(':');
      return lab.powerOffAt(parseCoServer(name), { point, share: Number(share ?? Math.random()), delayMs: Number(delayMs ?? 0) });
    }
    case 'power-on':
      return lab.powerOn(parseCoServer(target));
    case 'break-guest': {
      const [name = '', how = ''] = target.split(':');
      return lab.breakGuest(parseCoServer(name), parseBreak(how));
    }
    case 'kill-product':
      return lab.killProduct(parseCoServer(target));
    case 'kill-engine':
      return lab.killEngine(parseCoServer(target));
    case 'bmc': {
      const [name = '', fault = ''] = target.split(':');
      return lab.breakBmc(parseCoServer(name), parseBmcFault(fault));
    }
    case 'disk': {
      const [name = '', ...words] = target.split(':');
      return lab.breakDisk(parseCoServer(name), parseDiskAction(words));
    }
    case 'cut-link':
      return lab.setLink(parseLink(target), 'down');
    case 'mend-link':
      return lab.setLink(parseLink(target), 'up');
    case 'cut-lan':
      return lab.setLan(parseCoServer(target), 'down');
    case 'mend-lan':
      return lab.setLan(parseCoServer(target), 'up');
    case 'restart-process':
      return lab.killProduct(parseCoServer(target), 'SIGTERM');
    case 'kill-process':
      return lab.killProduct(parseCoServer(target));
    case 'freeze':
      return lab.freeze(parseCoServer(target), 'all');
    case 'freeze-process':
      return lab.freeze(parseCoServer(target), 'process');
    case 'thaw':
      return lab.thaw(parseCoServer(target));
    case 'status': {
      const view = lab.view();
      // A frozen one takes the question and never answers.
      const look = (name: CoServerName) =>
        view.coServers[name].frozen === 'no' ? readSnapshot(coServerPaths(lab.settings, name).consoleSocket) : Promise.resolve(null);
      const [A, B] = await Promise.all(CO_SERVERS.map(look));
      return { coServers: { A, B }, lab: view };
    }
    case 'where':
      return lab.whereIs(target === 'lan' || target === 'witness' ? target : parseCoServer(target));
    case 'serial': {
      const { device, leave } = lab.attachSerial(parseCoServer(target));
      void closed.then(leave);
      return device;
    }
    case 'down':
      // The answer is the connection's end: the lab is gone by then.
      void takeDown().catch(() => undefined);
      return null;
    default:
      throw new LabError(`the lab does not know "${action}"`);
  }
}
