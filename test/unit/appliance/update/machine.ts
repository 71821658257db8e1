// A server's disk with versions on it, updates for it, and what a start of it would do: the loader's choice and the initrd's check.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterStart, type BootFile, bootName, bootOrder, parseBootName } from '../../../../appliance/update/boot-names.ts';
import { encodeHead, encodeManifest, type Manifest } from '../../../../appliance/update/bundle.ts';
import { Esp } from '../../../../appliance/update/esp.ts';
import type { Place } from '../../../../appliance/update/place.ts';
import { UpdateStore } from '../../../../appliance/update/update-store.ts';
import type { BlockStore } from '../../../../drivers/block/index.ts';
import { fatFileSystem } from '../../../../image/disk/fat.ts';
import { Power, VolatileDisk } from './volatile-disk.ts';

export const ESP_BYTES = 160 << 20;
export const SLOT_BYTES = 256 << 10;
export const KEYS = generateKeyPairSync('ed25519');

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

export interface Version {
  version: string;
  /** It says the hash of the slot, as the real one's command line does. */
  program: Buffer;
  slot: Buffer;
}

export function version(name: string, slotBytes = 40_000, programBytes = 9_000): Version {
  const slot = Buffer.alloc(slotBytes, `slot of ${name} `);
  const program = Buffer.alloc(programBytes, ' ');
  program.write(JSON.stringify({ version: name, bytes: slotBytes, sha256: sha256(slot) }));
  return { version: name, program, slot };
}

export function manifestOf({ version, program, slot }: Version, changes: Partial<Manifest> = {}): Manifest {
  const content = (data: Buffer) => ({ bytes: data.length, sha256: sha256(data) });
  return { version, engine: '11.1.3', minimumFrom: '0.0.1', program: content(program), slot: content(slot), ...changes };
}

export function bundle(
  v: Version,
  { manifest = manifestOf(v), key = KEYS.privateKey }: { manifest?: Manifest; key?: KeyObject } = {},
): Buffer {
  const text = encodeManifest(manifest);
  return Buffer.concat([encodeHead(text, sign(null, text, key)), v.program, v.slot]);
}

/** In pieces of an odd size, as a network brings them. */
export async function* stream(data: Buffer, pieceBytes = 4099): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += pieceBytes) yield data.subarray(at, at + pieceBytes);
}

export interface TestDisk {
  store(power?: Power): BlockStore;
  read(offset: number, length: number): Buffer;
}

/** What is on the disk, and what would start. */
export class Machine<D extends TestDisk = VolatileDisk> {
  readonly esp: D;
  readonly slots: Record<'a' | 'b', D>;
  running: { version: string; slot: 'a' | 'b' };
  power = new Power();
  readonly folder: string;

  constructor(parts: Pick<Machine<D>, 'esp' | 'slots' | 'running' | 'folder'>) {
    this.esp = parts.esp;
    this.slots = parts.slots;
    this.running = parts.running;
    this.folder = parts.folder;
  }

  /** Runs `versions[0]` from slot a; the second one is in slot b. */
  static make(versions: readonly (Version & { name?: string })[], folder: string): Machine {
    const boot = { path: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(3000, 'loader') };
    const programs = versions.map(({ version, program, name = `twinstep_${version}.efi` }) => ({
      path: `EFI/Linux/${name}`,
      data: program,
    }));
    const esp = new VolatileDisk(ESP_BYTES, fatFileSystem([boot, ...programs], ESP_BYTES, { volumeId: 1, label: 'TWINSTEP' }));
    const slot = (v: Version | undefined) => new VolatileDisk(SLOT_BYTES, v ? [{ offset: 0, data: v.slot }] : []);
    const running = { version: versions[0]?.version ?? '', slot: 'a' as const };
    return new Machine({ esp, slots: { a: slot(versions[0]), b: slot(versions[1]) }, running, folder });
  }

  get place(): Place {
    return {
      ...this.running,
      slots: { a: { path: 'a', bytes: SLOT_BYTES }, b: { path: 'b', bytes: SLOT_BYTES } },
      esp: { path: 'esp', bytes: ESP_BYTES },
      keys: [KEYS.publicKey],
      recordFile: join(this.folder, 'update.json'),
      lockFile: join(this.folder, 'lock'),
    };
  }

  store(place = this.place): UpdateStore {
    return new UpdateStore(place, async ({ path }) =>
      (path === 'esp' ? this.esp : path === 'a' ? this.slots.a : this.slots.b).store(this.power),
    );
  }

  async files(): Promise<string[]> {
    return (await (await Esp.open(this.esp.store())).list()).sort();
  }

  async program(name: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of (await Esp.open(this.esp.store())).read(name)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The slot whose content the program vouches for; null: none, or the program is not whole. */
  async slotOf(name: string): Promise<'a' | 'b' | null> {
    const { bytes, sha256: hash } = JSON.parse((await this.program(name)).toString()) as { bytes: number; sha256: string };
    return (['a', 'b'] as const).find((slot) => sha256(this.slots[slot].read(0, bytes)) === hash) ?? null;
  }

  /**
   * As a start of the machine: the loader takes the first and counts, the initrd looks for its slot, marks the version when there is none, and
   * starts again. Answers how many starts it took; throws when nothing starts.
   */
  async start(): Promise<number> {
    this.power = new Power();
    for (let starts = 1; starts <= 10; starts++) {
      const files = (await this.files()).flatMap((name) => parseBootName(name) ?? []);
      const [taken] = bootOrder(files);
      if (!taken) break;
      const esp = await Esp.open(this.esp.store());
      const counted: BootFile = afterStart(taken);
      await esp.rename(bootName(taken), bootName(counted));
      const slot = await this.slotOf(bootName(counted)).catch(() => null);
      if (slot !== null) {
        this.running = { version: taken.version, slot };
        return starts;
      }
      await esp.rename(bootName(counted), bootName({ ...counted, count: { left: 0, done: 0 } }));
    }
    throw new Error(`nothing starts: ${(await this.files()).join(', ')}`);
  }
}

export function copyOf({ esp, slots, running, folder }: Machine): Machine {
  const copies = { a: slots.a.copy(), b: slots.b.copy() };
  return new Machine({ esp: esp.copy(), slots: copies, running: { ...running }, folder: mkdtempSync(join(folder, 'copy-')) });
}

/** A folder that is removed at the end of the test. */
export function folderFor(t: { teardown(f: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-update-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
