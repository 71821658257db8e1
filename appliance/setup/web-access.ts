// The way in for a browser before there is a configuration: the page's server, and addresses for it from DHCP on every port with a carrier. What it
// puts onto the ports is taken off when the first start ends: the configuration says what they have then.
import { isIPv4 } from 'node:net';
import { type DhcpClient, type DhcpLease, startDhcp } from '../../drivers/dhcp/index.ts';
import type { SetupHost } from './setup-host.ts';
import { type SetupWeb, startSetupWeb } from './web-server.ts';

const HTTPS_PORT = 443;
const ANY = '0.0.0.0';

/** Null: addresses by DHCP, on the usual port. */
export interface WebPlace {
  fixed: { address: string; port: number } | null;
}

/** `dhcp` or ADDRESS:PORT; undefined: neither. */
export function webPlaceOf(text: string): WebPlace | undefined {
  if (text === 'dhcp') return { fixed: null };
  const [, address = '', port = ''] = /^([\d.]+):(\d{1,5})$/.exec(text) ?? [];
  return isIPv4(address) && Number(port) > 0 && Number(port) < 65_536 ? { fixed: { address, port: Number(port) } } : undefined;
}

export interface WebAccessOptions {
  host: Pick<SetupHost, 'view' | 'form' | 'onChange' | 'nics' | 'setWeb'>;
  place: WebPlace;
  webRoot: string;
  runFolder: string;
  log: (line: string) => void;
}

export class WebAccessHost {
  readonly #options: WebAccessOptions;
  readonly #clients = new Map<string, DhcpClient>();
  readonly #leases = new Map<string, DhcpLease>();
  readonly #ending = new Map<string, Promise<void>>();
  #web: SetupWeb | null = null;
  #isClosed = false;
  #stopLooking: () => void = () => undefined;

  constructor(options: WebAccessOptions) {
    this.#options = options;
  }

  /** Without it the first start goes on, on the consoles; the log says why. */
  async start(): Promise<void> {
    const { host, place, webRoot, log } = this.#options;
    const { address, port } = place.fixed ?? { address: ANY, port: HTTPS_PORT };
    try {
      this.#web = await startSetupWeb({ host, address, port, webRoot, log });
    } catch (error) {
      log(`the first start in a browser is not there: ${(error as Error).message}`);
      return;
    }
    this.#tell();
    if (place.fixed) return;
    this.#stopLooking = host.onChange(() => this.#look());
    this.#look();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopLooking();
    await this.#web?.close();
    await Promise.all([...this.#clients.keys()].map((nic) => this.#giveBack(nic)));
  }

  /** A cable that was pulled may be plugged into another network: what was given in the one does not count in the other. */
  #look(): void {
    const nics = this.#options.host.nics();
    for (const { name, carrier } of nics) if (carrier && !this.#clients.has(name)) this.#ask(name);
    for (const name of this.#clients.keys()) if (!nics.some((n) => n.name === name && n.carrier)) void this.#giveBack(name);
  }

  #ask(nic: string): void {
    const { runFolder, log } = this.#options;
    const onLease = (lease: DhcpLease | null): void => {
      if (lease) this.#leases.set(nic, lease);
      else this.#leases.delete(nic);
      this.#tell();
    };
    this.#clients.set(nic, startDhcp({ nic, folder: runFolder, log, onLease }));
  }

  /** Once at a time: the port is asked for anew only when nothing of this one is left on it. */
  #giveBack(nic: string): Promise<void> {
    const running = this.#ending.get(nic);
    if (running) return running;
    this.#leases.delete(nic);
    const end = (this.#clients.get(nic)?.close() ?? Promise.resolve()).then(() => {
      this.#ending.delete(nic);
      this.#clients.delete(nic);
      if (!this.#isClosed) this.#look();
    });
    this.#ending.set(nic, end);
    // Whoever is told looks at once.
    this.#tell();
    return end;
  }

  #tell(): void {
    const { host, place } = this.#options;
    if (!this.#web || this.#isClosed) return;
    const { code, fingerprint } = this.#web;
    const urls = place.fixed
      ? [`https://${place.fixed.address}:${place.fixed.port}/`]
      : [...this.#leases.values()].map(({ address }) => `https://${address}/`);
    host.setWeb({ urls: [...new Set(urls)], code, fingerprint });
  }
}
