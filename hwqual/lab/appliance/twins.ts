// Two machines that boot the built image, side by side in a rack: whole, as `../machines` makes them, with BMCs, cables and a person at each
// serial console. Must run inside the rack (../machines/enter.ts).
import { rmSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName, Snapshot } from '../../../appliance/core/snapshot.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { writeDisk } from '../../../image/disk/disk-image.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { ConsoleClient } from '../../campaigns/console-client.ts';
import type { PairSecrets } from '../configuration.ts';
import { buildTinyGuest } from '../guest/tiny/build.ts';
import { LabError } from '../lab-error.ts';
import { capturePath, writeGiven } from '../machines/boot.ts';
import { MachinesLab } from '../machines/lab.ts';
import { type MachinesSettings, machinePaths } from '../machines/settings.ts';
import { type MachineSpec, TWIN } from '../machines/spec.ts';
import { ADDRESSES, CO_SERVERS } from '../settings.ts';
import { givenFiles, type Level, writeStick } from './pair-configuration.ts';
import { SerialPerson } from './serial-person.ts';
import type { Version } from './versions.ts';

/** One CPU: two that wait for each other cost more than they give. sha-ni: the root's hashes are checked at each boot. */
const SPEC: MachineSpec = {
  ...TWIN,
  cpu: { ...TWIN.cpu, cores: 1, model: `${TWIN.cpu.model},+sha-ni` },
  disks: { ...TWIN.disks, nvme: { sizeMiB: 4096 } },
};
const WEB_PORT = 443;
const LOOK_MS = 1_000;
/** Two stop at any moment on a busy machine. */
const ANSWER_MS = 20_000;
const MIB = 1 << 20;

export type Pictures = Record<CoServerName, Snapshot | null>;

export class Twins {
  readonly persons: Record<CoServerName, SerialPerson>;
  readonly secrets: PairSecrets;
  readonly #lab: MachinesLab;
  readonly #settings: MachinesSettings;
  readonly #clients: Record<CoServerName, ConsoleClient>;
  readonly #poweredAt: Record<CoServerName, number> = { A: 0, B: 0 };

  private constructor(lab: MachinesLab, settings: MachinesSettings, captures: string) {
    this.#lab = lab;
    this.#settings = settings;
    this.secrets = lab.secrets;
    const each = <T>(make: (name: CoServerName) => T): Record<CoServerName, T> => ({ A: make('A'), B: make('B') });
    this.persons = each((name) => new SerialPerson(name, capturePath(captures, name)));
    const { password } = this.secrets;
    this.#clients = each((name) => new ConsoleClient({ address: ADDRESSES.management[name], port: WEB_PORT, password }));
  }

  /** Without power. `work`: an empty folder; `captures`: where the serial lines are kept. */
  static async make(options: {
    built: Version;
    tools: string;
    work: string;
    captures: string;
    settings: MachinesSettings;
    level: Level;
    /** answers: of the first start, on the stick. configuration: of the machines' host. */
    told: 'answers' | 'configuration';
    say: (line: string) => void;
  }): Promise<Twins> {
    const { built, tools, work, captures, settings, level, told, say } = options;
    const disk = join(work, 'disk.img');
    writeDisk(disk, { files: espFiles(tools, [built]), slots: { a: built.slot } });
    const guest = await buildTinyGuest();
    // What an earlier lab that was killed has left.
    for (const name of CO_SERVERS) {
      rmSync(machinePaths(settings, name).directory, { recursive: true, force: true });
      rmSync(capturePath(captures, name), { force: true });
    }
    const lab = await MachinesLab.make(
      {
        settings,
        specs: { A: SPEC, B: SPEC },
        engineRoot: engineRootPath(),
        acceleration: 'tcg',
        boot: {
          kind: 'disk',
          disk,
          firmware: join(tools, 'usr/share/OVMF'),
          given: (name, secrets) => (told === 'answers' ? {} : givenFiles(name, level, secrets, settings)),
          stick: (name, secrets) => {
            const stick = join(work, `stick-${name.toLowerCase()}.img`);
            writeStick(stick, guest, told === 'answers' ? { name, level, secrets } : null);
            return stick;
          },
          captures,
        },
      },
      say,
    );
    return new Twins(lab, settings, captures);
  }

  /** By its BMC; somebody sits down at its console. */
  async powerOn(name: CoServerName): Promise<void> {
    this.persons[name].forget();
    const machine = this.#lab.machine(name);
    const on = machine.isOn ? Promise.resolve() : new Promise<void>((resolve) => machine.once('on', () => resolve()));
    this.#poweredAt[name] = performance.now();
    await this.#lab.power(name).on();
    await on;
    this.persons[name].sitDown(await this.#lab.console(name));
  }

  /** By its BMC, as a power failure: answers when the BMC has said so twice. */
  async powerOff(name: CoServerName): Promise<void> {
    this.persons[name].getUp();
    await this.#lab.power(name).off();
  }

  sincePowerOnS(name: CoServerName): number {
    return (performance.now() - this.#poweredAt[name]) / 1000;
  }

  /** At the next power on both are told this level: where a configuration is given. */
  setLevel(level: Level): void {
    for (const name of CO_SERVERS)
      for (const [file, text] of Object.entries(givenFiles(name, level, this.secrets, this.#settings)))
        writeGiven(this.#settings, name, file, text);
  }

  async pictures(): Promise<Pictures> {
    const [A, B] = await Promise.all(CO_SERVERS.map((name) => (this.#lab.machine(name).isOn ? this.#clients[name].snapshot() : null)));
    return { A: A ?? null, B: B ?? null };
  }

  /** What `look` answers once it is not null. Throws with what both said last when that takes too long. */
  async until<T>(what: string, look: (pictures: Pictures) => T | null, timeoutS: number): Promise<T> {
    const deadline = performance.now() + timeoutS * 1000;
    for (;;) {
      const pictures = await this.pictures();
      const found = look(pictures);
      if (found !== null) return found;
      if (performance.now() > deadline) {
        const said = CO_SERVERS.map((name) => `${name}: ${pictures[name]?.redundancySentence ?? 'no answer'}`).join('; ');
        throw new LabError(`${what}: not within ${timeoutS} s. ${said}`);
      }
      await sleep(LOOK_MS);
    }
  }

  /** Until its web console shows its page (signed in or not). */
  async webAnswers(name: CoServerName, timeoutS: number): Promise<void> {
    const deadline = performance.now() + timeoutS * 1000;
    while (!(await answersPage(ADDRESSES.management[name]))) {
      if (performance.now() > deadline) throw new LabError(`machine ${name}: its web console does not answer within ${timeoutS} s`);
      await sleep(LOOK_MS);
    }
  }

  /** What the kernel says of the machine's memory (MemTotal, MemAvailable), and what QEMU takes for it. */
  async memory(name: CoServerName): Promise<{ totalMiB: number; availableMiB: number }> {
    const { monitor } = this.#lab.machine(name);
    const path = '/machine/peripheral/balloon';
    await monitor.execute('qom-set', { path, property: 'guest-stats-polling-interval', value: 1 });
    const deadline = performance.now() + ANSWER_MS;
    for (;;) {
      const { stats } = (await monitor.execute('qom-get', { path, property: 'guest-stats' })) as { stats: Record<string, number> };
      const [total, available] = [stats['stat-total-memory'], stats['stat-available-memory']];
      // What the device does not know is all ones.
      if (total !== undefined && available !== undefined && total > 0 && total < 2 ** 60)
        return { totalMiB: total / MIB, availableMiB: available / MIB };
      if (performance.now() > deadline) throw new LabError(`machine ${name} does not tell of its memory`);
      await sleep(LOOK_MS);
    }
  }

  /** Of its first video console, as a PNG. */
  async videoScreen(name: CoServerName, path: string): Promise<void> {
    await this.#lab.machine(name).monitor.execute('screendump', { filename: path, format: 'png' });
  }

  async close(): Promise<void> {
    for (const name of CO_SERVERS) this.persons[name].close();
    await this.#lab.close();
  }
}

function answersPage(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const asked = request({ host: address, port: WEB_PORT, path: '/', agent: false, rejectUnauthorized: false, signal }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode === 200));
      response.once('error', () => resolve(false));
    });
    asked.once('error', () => resolve(false));
    asked.end();
  });
}
