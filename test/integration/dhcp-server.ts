// A real DHCP server, busybox's udhcpd, behind a cable. Needs root, and busybox from the engine's root.
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import type { OtherEnd } from '../unit/drivers/ethernet/namespace.ts';

export const BUSYBOX = join(process.env.TWINSTEP_ENGINE_ROOT ?? engineRootPath(), 'usr/bin/busybox');
const PATIENCE_MS = 120_000;

/** Why there can be no DHCP server here; false: there can. */
export function whyNoDhcp(): string | false {
  if (!existsSync(BUSYBOX)) return `${BUSYBOX} is missing: npm start makes it`;
  return process.getuid?.() === 0 ? false : 'needs root';
}

export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await pause(100);
  }
}

/** A DHCP server, and what it has noted. */
export class DhcpServer {
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(other: OtherEnd, folder: string) {
    this.#folder = folder;
    this.#child = other.spawn('setpriv', '--pdeathsig=SIGKILL', BUSYBOX, 'udhcpd', '-f', '-a', '50', join(folder, 'udhcpd.conf'));
  }

  /** Hands out one address. Resolves when it listens. */
  static async start(other: OtherEnd, nic: string, address: string, options: readonly string[]): Promise<DhcpServer> {
    const folder = mkdtempSync(join(tmpdir(), 'twinstep-udhcpd-'));
    const lines = [
      ...[`start ${address}`, `end ${address}`, `interface ${nic}`, 'min_lease 10', 'max_leases 1'],
      ...[`pidfile ${folder}/pid`, `lease_file ${folder}/leases`, ...options.map((option) => `option ${option}`), ''],
    ];
    writeFileSync(join(folder, 'leases'), '');
    writeFileSync(join(folder, 'udhcpd.conf'), lines.join('\n'));
    const listening = () => other.run('cat', '/proc/self/net/udp').split(':0043 ').length;
    const before = listening();
    const server = new DhcpServer(other, folder);
    await until('the server listens', () => listening() > before);
    return server;
  }

  /** What busybox makes of its notes: MAC, address, host name, "expired" or a time. */
  notes(): string {
    // It writes them down when it is asked to.
    this.#child.kill('SIGUSR1');
    // Half written, it is complained about, and read again later.
    return spawnSync(BUSYBOX, ['dumpleases', '-r', '-f', join(this.#folder, 'leases')], { encoding: 'utf8' }).stdout;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
