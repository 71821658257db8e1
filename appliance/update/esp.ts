// Files in EFI/Linux of the EFI system partition, changed on the bare partition so that each change is one write of one sector.
//
// Why not a mount: no order of writes is promised there, and a renaming is two of them: a loss of power in between may leave neither name.
// Here every step is flushed before the next one, and what makes a step count is a sector of the directory, which a disk writes whole
// or not at all:
//
//   a new file   its content into unused units, flush; the allocation tables, flush; the name, flush
//   a new name   the records of old and new name lie in one sector: one write
//   removed      the name, flush; then its units are free
//
// Interrupted in between only units are lost: allocated, in no file. They are given back before the next change.
import type { BlockStore } from '../../drivers/block/index.ts';
import { UpdateRefusal } from './bundle.ts';
import {
  CHAIN_END,
  DELETED,
  type DirectoryEntry,
  damaged,
  decodeDirectory,
  decodeGeometry,
  ENTRY_MASK,
  encodeFile,
  freeShortName,
  type Geometry,
  LAST_OF_CHAIN,
  roomFor,
  SECTOR_BYTES,
} from './fat-codec.ts';
import { RECORD_BYTES } from './fat-records.ts';

const FOLDER = ['EFI', 'Linux'];
/** Directories on a partition that only we and the firmware write. */
const MAX_DEPTH = 8;
const MAX_DIRECTORY_BYTES = 1 << 20;

interface Folder {
  units: number[];
  data: Buffer;
}

export interface NewFile {
  write(chunk: Uint8Array): Promise<void>;
  /** What was written, read from the disk again. */
  readBack(): AsyncGenerator<Buffer>;
  /** Now it is there under its name. */
  commit(): Promise<void>;
}

export class Esp {
  readonly #store: BlockStore;
  readonly #g: Geometry;
  readonly #table: Buffer;

  private constructor(store: BlockStore, geometry: Geometry, table: Buffer) {
    this.#store = store;
    this.#g = geometry;
    this.#table = table;
  }

  /** `store`: the partition. Throws UpdateRefusal when it is not what the image made. */
  static async open(store: BlockStore): Promise<Esp> {
    const g = decodeGeometry(await store.read(0, SECTOR_BYTES), store.sizeBytes);
    return new Esp(store, g, await store.read(g.tables[0] ?? 0, g.tableBytes));
  }

  /** Names of the files in EFI/Linux. */
  async list(): Promise<string[]> {
    const { entries } = decodeDirectory((await this.#folder()).data);
    return entries.filter((e) => !e.isDirectory).map((e) => e.name);
  }

  async *read(name: string): AsyncGenerator<Buffer> {
    const { entry } = await this.#find(name);
    let left = entry.bytes;
    for (const [offset, length] of this.#runs(this.#chain(entry.firstUnit, entry.bytes))) {
      yield await this.#store.read(offset, Math.min(length, left));
      left -= length;
    }
  }

  /** Finds the room at once. Throws UpdateRefusal when there is too little. Nobody sees the file before `commit`. */
  async create(name: string, bytes: number): Promise<NewFile> {
    await this.#giveBackLost();
    const units = this.#freeUnits(Math.max(1, Math.ceil(bytes / this.#g.unitBytes)));
    const runs = this.#runs(units);
    let written = 0;
    return {
      write: async (chunk) => {
        for (let done = 0; done < chunk.length; ) {
          const [offset, room] = placeOf(runs, written);
          const part = chunk.subarray(done, done + room);
          await this.#store.write(offset, part);
          done += part.length;
          written += part.length;
        }
      },
      readBack: async function* (this: Esp) {
        let left = bytes;
        for (const [offset, length] of runs) {
          yield await this.#store.read(offset, Math.min(length, left));
          left -= length;
        }
      }.bind(this),
      commit: async () => {
        if (written !== bytes) throw new Error(`${name}: ${written} of ${bytes} bytes were written`);
        await this.#store.flush();
        units.forEach((unit, i) => {
          this.#set(unit, units[i + 1] ?? LAST_OF_CHAIN);
        });
        await this.#writeTable(units);
        const folder = await this.#folder();
        const { entries, end } = decodeDirectory(folder.data);
        if (entries.some((e) => same(e.name, name))) throw new Error(`there is a file ${name} already`);
        await this.#put(folder, encodeFile(name, freeShortName(entries), units[0] ?? 0, bytes), end);
      },
    };
  }

  /** One write where both names fit into the sector of the old one, which is so for all that this program named. */
  async rename(from: string, to: string): Promise<void> {
    if (from === to) return;
    if (!same(from, to) && (await this.#find(from)).entries.some((e) => same(e.name, to))) await this.remove(to);
    const { folder, entry, entries, end } = await this.#find(from);
    const records = encodeFile(to, freeShortName(entries), entry.firstUnit, entry.bytes);
    const data = Buffer.from(folder.data);
    for (let i = entry.from; i < entry.to; i++) data.writeUInt8(DELETED, i * RECORD_BYTES);
    const sector = Math.floor(entry.from / (SECTOR_BYTES / RECORD_BYTES)) * SECTOR_BYTES;
    const at = roomFor(records.length / RECORD_BYTES, data.subarray(sector, sector + SECTOR_BYTES), end - sector / RECORD_BYTES);
    const isOneSector = Math.floor(((entry.to - 1) * RECORD_BYTES) / SECTOR_BYTES) * SECTOR_BYTES === sector;
    const after = sector + (at ?? 0) * RECORD_BYTES + records.length;
    if (at !== null && isOneSector && !(after % SECTOR_BYTES === 0 && mustEnd(data, after, end))) {
      records.copy(data, sector + at * RECORD_BYTES);
      if (mustEnd(data, after, end)) data.fill(0, after, after + RECORD_BYTES);
      await this.#writeFolder({ ...folder, data }, [sector]);
      return;
    }
    // Both names for a moment: each of them starts the same program.
    await this.#put(folder, records, end);
    await this.#unlink(from);
  }

  async remove(name: string): Promise<void> {
    await this.#unlink(name);
    await this.#giveBackLost();
  }

  // ---- directories -----------------------------------------------------------------------------------------------------------

  async #folder(): Promise<Folder> {
    let folder = await this.#readFolder(this.#g.rootUnit);
    for (const name of FOLDER) {
      const entry = decodeDirectory(folder.data).entries.find((e) => e.isDirectory && same(e.name, name));
      if (!entry) throw damaged(`it has no folder ${FOLDER.join('/')}`);
      folder = await this.#readFolder(entry.firstUnit);
    }
    return folder;
  }

  async #readFolder(firstUnit: number): Promise<Folder> {
    const units = this.#chain(firstUnit, null);
    if (units.length * this.#g.unitBytes > MAX_DIRECTORY_BYTES) throw damaged('a directory is longer than it can be');
    const parts: Buffer[] = [];
    for (const [offset, length] of this.#runs(units)) parts.push(await this.#store.read(offset, length));
    return { units, data: Buffer.concat(parts) };
  }

  async #find(name: string): Promise<{ folder: Folder; entry: DirectoryEntry; entries: DirectoryEntry[]; end: number }> {
    const folder = await this.#folder();
    const { entries, end } = decodeDirectory(folder.data);
    const entry = entries.find((e) => !e.isDirectory && same(e.name, name));
    if (!entry) throw damaged(`it has no file ${name}`);
    return { folder, entry, entries, end };
  }

  /** New records, by one write of one sector. */
  async #put(folder: Folder, records: Buffer, end: number): Promise<void> {
    const at = roomFor(records.length / RECORD_BYTES, folder.data, end);
    if (at === null) throw damaged(`its folder ${FOLDER.join('/')} is full`);
    const data = Buffer.from(folder.data);
    const sectorOf = (record: number) => Math.floor((record * RECORD_BYTES) / SECTOR_BYTES) * SECTOR_BYTES;
    // Readers stop at the first record that was never written: none may stay in front.
    const gap = new Set<number>();
    for (let i = end; i < at; i++) {
      data.writeUInt8(DELETED, i * RECORD_BYTES);
      if (sectorOf(i) !== sectorOf(at)) gap.add(sectorOf(i));
    }
    records.copy(data, at * RECORD_BYTES);
    const after = at * RECORD_BYTES + records.length;
    if (mustEnd(data, after, end)) {
      data.fill(0, after, after + RECORD_BYTES);
      if (after % SECTOR_BYTES === 0) gap.add(after);
    }
    // The far end first: while it is written, readers still stop before it.
    for (const sector of [...gap].sort((x, y) => y - x)) await this.#writeFolder({ ...folder, data }, [sector]);
    await this.#writeFolder({ ...folder, data }, [sectorOf(at)]);
  }

  /** The short name's record first: without it the rest is nothing. */
  async #unlink(name: string): Promise<void> {
    const { folder, entry } = await this.#find(name);
    const data = Buffer.from(folder.data);
    const sectors = new Set<number>();
    for (let i = entry.to - 1; i >= entry.from; i--) {
      data.writeUInt8(DELETED, i * RECORD_BYTES);
      sectors.add(Math.floor((i * RECORD_BYTES) / SECTOR_BYTES) * SECTOR_BYTES);
    }
    await this.#writeFolder({ ...folder, data }, [...sectors]);
  }

  async #writeFolder({ units, data }: Folder, sectors: readonly number[]): Promise<void> {
    for (const sector of sectors) {
      const unit = units[Math.floor(sector / this.#g.unitBytes)] ?? 0;
      await this.#store.write(this.#offsetOf(unit) + (sector % this.#g.unitBytes), data.subarray(sector, sector + SECTOR_BYTES));
      await this.#store.flush();
    }
  }

  // ---- units -----------------------------------------------------------------------------------------------------------------

  #offsetOf(unit: number): number {
    return this.#g.dataOffset + (unit - 2) * this.#g.unitBytes;
  }

  #next(unit: number): number {
    return this.#table.readUInt32LE(unit * 4) & ENTRY_MASK;
  }

  /** Four bits of an entry are somebody else's. */
  #set(unit: number, next: number): void {
    const old = this.#table.readUInt32LE(unit * 4);
    this.#table.writeUInt32LE(((old & ~ENTRY_MASK) | next) >>> 0, unit * 4);
  }

  /** Units in the order of the file. `bytes`: what its entry says; null for a directory. */
  #chain(firstUnit: number, bytes: number | null): number[] {
    const most = bytes === null ? MAX_DIRECTORY_BYTES / this.#g.unitBytes + 1 : Math.ceil(bytes / this.#g.unitBytes);
    const units: number[] = [];
    for (let unit = firstUnit; units.length < most && unit < CHAIN_END; unit = this.#next(unit)) {
      if (unit < 2 || unit >= this.#g.units + 2) throw damaged('a chain of its allocation table leads nowhere');
      units.push(unit);
    }
    if (bytes !== null && units.length < most) throw damaged('a file is shorter than it says');
    return units;
  }

  /** Neighbours together: [offset, length], a MiB at most each. */
  #runs(units: readonly number[]): [number, number][] {
    const runs: [number, number][] = [];
    for (const unit of units) {
      const last = runs.at(-1);
      const offset = this.#offsetOf(unit);
      if (last && last[0] + last[1] === offset && last[1] < 1 << 20) last[1] += this.#g.unitBytes;
      else runs.push([offset, this.#g.unitBytes]);
    }
    return runs;
  }

  #freeUnits(count: number): number[] {
    const free: number[] = [];
    for (let unit = 2; unit < this.#g.units + 2 && free.length < count; unit++) if (this.#next(unit) === 0) free.push(unit);
    if (free.length < count)
      throw new UpdateRefusal(
        'tooLarge',
        `The EFI system partition has room for ${free.length * this.#g.unitBytes} more bytes, ${count * this.#g.unitBytes} are needed: write the image to this disk anew.`,
      );
    return free;
  }

  /** What is allocated and belongs to nothing that the root directory leads to is free again. */
  async #giveBackLost(): Promise<void> {
    const used = new Set<number>();
    await this.#walk(this.#g.rootUnit, used, 0);
    const lost: number[] = [];
    for (let unit = 2; unit < this.#g.units + 2; unit++) {
      if (used.has(unit) || this.#next(unit) === 0) continue;
      lost.push(unit);
      this.#set(unit, 0);
    }
    if (lost.length > 0) await this.#writeTable(lost);
  }

  async #walk(firstUnit: number, used: Set<number>, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw damaged('its folders lie in each other without end');
    const folder = await this.#readFolder(firstUnit);
    for (const unit of folder.units) used.add(unit);
    for (const entry of decodeDirectory(folder.data).entries) {
      if (/^\.{1,2}$/.test(entry.name) || entry.firstUnit === 0) continue;
      if (entry.isDirectory) await this.#walk(entry.firstUnit, used, depth + 1);
      // All of its chain, also what its length does not need.
      else
        for (let unit = entry.firstUnit; unit >= 2 && unit < this.#g.units + 2 && !used.has(unit); unit = this.#next(unit)) used.add(unit);
    }
  }

  /** The sectors of the table in which these units are, in every copy of it. */
  async #writeTable(units: readonly number[]): Promise<void> {
    if (this.#g.infoOffset !== null) await this.#forgetHints(this.#g.infoOffset);
    const sectors = [...new Set(units.map((unit) => Math.floor((unit * 4) / SECTOR_BYTES) * SECTOR_BYTES))];
    for (const table of this.#g.tables)
      for (const sector of sectors) await this.#store.write(table + sector, this.#table.subarray(sector, sector + SECTOR_BYTES));
    await this.#store.flush();
  }

  /** Free units are counted there, as a hint; "not known" is always right. */
  async #forgetHints(offset: number): Promise<void> {
    const info = await this.#store.read(offset, SECTOR_BYTES);
    if (info.readUInt32LE(0) !== 0x41615252 || info.readUInt32LE(484) !== 0x61417272) return;
    info.fill(0xff, 488, 496);
    await this.#store.write(offset, info);
  }
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** The records up to `offset` are the last ones now, and what follows does not say so. */
function mustEnd(data: Buffer, offset: number, end: number): boolean {
  return offset / RECORD_BYTES > end && offset < data.length && data.readUInt8(offset) !== 0;
}

function placeOf(runs: readonly (readonly [number, number])[], position: number): [offset: number, room: number] {
  let left = position;
  for (const [offset, length] of runs) {
    if (left < length) return [offset + left, length - left];
    left -= length;
  }
  throw new Error('more bytes than the file was made for');
}
