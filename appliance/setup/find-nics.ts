// The network ports of this server: what the kernel knows of them, in the order of their place.

import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { carrier, interfaceIndex, macAddress, nicDriver } from '../../drivers/ethernet/index.ts';
import { runProgram } from '../console/cli/programs.ts';
import { PORTS_MAX } from './beacon.ts';
import type { NicFact } from './roles.ts';

/** Names of ports that are devices: no bridges, no tunnels, no loopback. */
function deviceNames(): string[] {
  const folder = '/sys/class/net';
  return readdirSync(folder).filter((name) => {
    try {
      readdirSync(`${folder}/${name}/device`);
      return true;
    } catch {
      return false;
    }
  });
}

/** Ports that were set up: programs start slowly on a busy server, and one look a second needs none. */
const isSetUp = new Set<string>();

async function setUp(name: string): Promise<void> {
  const port = `${interfaceIndex(name)} ${name}`;
  if (isSetUp.has(port)) return;
  await runProgram('ip', ['link', 'set', name, 'up'], 'iproute2');
  isSetUp.add(port);
}

/** @param names Null: all that are devices. Those that vanish meanwhile are left out. Sets them up, else they hear nothing. */
export async function findNics(names: readonly string[] | null): Promise<NicFact[]> {
  const found: Omit<NicFact, 'number'>[] = [];
  for (const name of names ?? deviceNames()) {
    try {
      const mac = macAddress(name);
      await setUp(name);
      found.push({ name, mac, ...driverOf(name), speedMbps: await speedOf(name), carrier: carrier(name) });
    } catch {
      // Unplugged, or no device of a kind that can be used: it is no port.
    }
  }
  const place = (n: Omit<NicFact, 'number'>): string => n.bus ?? '~';
  const sorted = names
    ? found
    : found.sort((a, b) => place(a).localeCompare(place(b)) || a.name.localeCompare(b.name, 'en', { numeric: true }));
  return sorted.slice(0, PORTS_MAX).map((nic, i) => ({ number: i + 1, ...nic }));
}

function driverOf(name: string): { driver: string | null; bus: string | null } {
  try {
    const { driver, bus } = nicDriver(name);
    return { driver, bus };
  } catch {
    return { driver: null, bus: null };
  }
}

async function speedOf(name: string): Promise<number | null> {
  const text = await readFile(`/sys/class/net/${name}/speed`, 'utf8').catch(() => '');
  const speed = Number(text.trim());
  return text !== '' && speed > 0 ? speed : null;
}
