// The versions on this server's disk, and what is done with them. At any moment power may go: whatever step was reached, the loader then finds a
// version that was good, because the order is always
//
//   nothing leads to the other slot any more -> it is written, flushed, read back -> its program lies whole beside the others ->
//   (activate) the program gets a name that the loader takes, by one write of one sector
import { createHash } from 'node:crypto';
import { type BlockStore, FileStore } from '../../drivers/block/index.ts';
import { type BootFile, bootName, bootOrder, parseBootName } from './boot-names.ts';
import {
  type Content,
  checkSignature,
  decodeHeader,
  decodeManifest,
  HEADER_BYTES,
  type Manifest,
  SIGNATURE_BYTES,
  UpdateRefusal,
} from './bundle.ts';
import { ByteSource } from './byte-source.ts';
import { Esp } from './esp.ts';
import { noteHeaderVersion } from './header-version.ts';
import { judge } from './judge.ts';
import { type KeptHead, keepHead, readHead } from './kept-head.ts';
import { alone } from './lock.ts';
import { paced, paceOf, UPDATE_BYTES_PER_SECOND } from './pace.ts';
import type { Device, Place } from './place.ts';
import { type News, newsOf, readRecord, writeRecord } from './record.ts';
import { noteStateVersion, readStateVersion, stateVersionFile } from './state-version.ts';
import {
  activation,
  badText,
  clearing,
  givenUpFile,
  goodMark,
  holding,
  isOnTrial,
  otherFile,
  type Renaming,
  rollback,
  runningFile,
  waitingFile,
} from './trust.ts';

/** Of one write to a slot. */
const PIECE_BYTES = 1 << 20;

export interface UpdateStatus {
  /** What runs. */
  version: string;
  slot: 'a' | 'b';
  /** The running version has been started for a trial and not been found healthy yet: starts left after this one. */
  trial: { triesLeft: number } | null;
  /** In the other slot. */
  other: { version: string; isUsable: boolean; text: string } | null;
  /** Received and whole, and not yet told to the loader. */
  received: string | null;
  /** What the next start takes. */
  next: string;
  isBusy: boolean;
}

/** The versions here, as the update of a pair sees them. */
export interface Versions {
  version: string;
  onTrial: boolean;
  /** Whole in the other slot, and not tried yet. */
  received: string | null;
  /** The next start tries it. */
  isActivated: boolean;
  /** Tried here and left again, or damaged here. */
  givenUp: string | null;
}

/** Who looks does so beside whoever changes something: each change is one sector, so what is seen is as before it or as after. */
type Use = 'look' | 'change';
type OpenDevice = (device: Device, use?: Use) => Promise<BlockStore>;

export interface ReceiveOptions {
  /** An older version, too. */
  force?: boolean;
  /** Awaited after each piece that was written or read back. Missing: UPDATE_BYTES_PER_SECOND. */
  pace?: (bytes: number) => Promise<void>;
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** After header, signature and version were found right: from here on the other slot is no longer what it was. */
  onAccepted?: (manifest: Manifest) => void;
}

export class UpdateStore {
  readonly #place: Place;
  readonly #open: OpenDevice;
  readonly #noteOutside: (version: string) => Promise<void>;
  #busy = false;

  /** `open`, `noteOutside`: for tests. */
  constructor(place: Place, open: OpenDevice = openDevice, noteOutside: (version: string) => Promise<void> = noteHeaderVersion) {
    this.#place = place;
    this.#open = open;
    this.#noteOutside = noteOutside;
  }

  async status(): Promise<UpdateStatus> {
    const { version, slot } = this.#place;
    const files = await this.#withEsp(filesOn, 'look');
    const now = runningFile(files, version);
    const other = otherFile(files, version);
    const isUsable = other !== undefined && other.count?.left !== 0;
    return {
      version,
      slot,
      trial: now && isOnTrial(now) ? { triesLeft: now.count?.left ?? 0 } : null,
      other: other ? { version: other.version, isUsable, text: isUsable ? goodText(other) : badText(other) } : null,
      received: files.find((f) => f.staged)?.version ?? null,
      next: bootOrder(files)[0]?.version ?? version,
      isBusy: this.#busy,
    };
  }

  async versions(): Promise<Versions> {
    const { version } = this.#place;
    const files = await this.#withEsp(filesOn, 'look');
    const waiting = waitingFile(files, version);
    return {
      version,
      onTrial: isOnTrial(runningFile(files, version)),
      received: waiting?.version ?? null,
      isActivated: waiting?.staged === false,
      givenUp: givenUpFile(files, version)?.version ?? null,
    };
  }

  /** The head of the update that was received last; null: not kept. */
  head(): KeptHead | null {
    return readHead(this.#place.recordFile);
  }

  /**
   * Judges what comes by its head, then writes it to the slot that does not run. Throws UpdateRefusal: the running version stays what the next
   * start takes. When it ends, the update is whole on the disk, and `activate` makes it the next one.
   */
  receive(from: AsyncIterable<Uint8Array>, options: ReceiveOptions = {}): Promise<Manifest> {
    return this.#alone(async () => {
      const source = new ByteSource(from);
      try {
        return await this.#receive(source, options);
      } finally {
        await source.close();
      }
    });
  }

  async #receive(source: ByteSource, options: ReceiveOptions): Promise<Manifest> {
    const { force = false, pace = paceOf(UPDATE_BYTES_PER_SECOND), onProgress = () => {}, onAccepted = () => {} } = options;
    const { version, slot, slots, keys } = this.#place;
    const header = await source.exact(HEADER_BYTES, 'header');
    const text = await source.exact(decodeHeader(header), 'manifest');
    const signature = await source.exact(SIGNATURE_BYTES, 'signature');
    checkSignature(text, signature, keys);
    const manifest = decodeManifest(text);
    const target = slots[slot === 'a' ? 'b' : 'a'];
    await this.#withEsp(async (esp) => {
      const files = await filesOn(esp);
      judge(manifest, { version, onTrial: isOnTrial(runningFile(files, version)), slotBytes: target.bytes }, force);
      const { program, slot: content } = manifest;
      const total = program.bytes + content.bytes;
      // Taken before anything is removed: a disk without room, or a damaged program, costs nothing.
      const file = await esp.create(bootName({ version: manifest.version, count: null, staged: true }), program.bytes);
      onAccepted(manifest);
      keepHead(this.#place.recordFile, Buffer.concat([header, text, signature]));
      let done = 0;
      const count = (part: number) => {
        done += part;
        onProgress(done, total);
        return pace(part);
      };
      await copy(source, program, 'program', (part) => file.write(part), count);
      await mustBe(program, paced(file.readBack(), pace), 'program');
      const { rename, remove } = clearing(files, version);
      for (const step of rename) await esp.rename(bootName(step.from), bootName(step.to));
      for (const old of remove) await esp.remove(bootName(old));
      await this.#writeSlot(target, content, source, { count, pace });
      await source.end();
      await file.commit();
    });
    return manifest;
  }

  /**
   * Puts the update together again that was received here last, from its kept head and this disk, whether it waits in the other slot or runs.
   * Each part is awaited. Throws UpdateRefusal `nothing` when it is not here any more; nothing else changes the slots meanwhile.
   */
  send(version: string, put: (part: Buffer) => Promise<void>): Promise<void> {
    return this.#alone(() =>
      this.#withEsp(async (esp) => {
        const { version: running, slot, slots } = this.#place;
        const head = this.head();
        const files = await filesOn(esp);
        const file = version === running ? runningFile(files, running) : waitingFile(files, running);
        if (head?.manifest.version !== version || file?.version !== version)
          throw new UpdateRefusal('nothing', `Version ${version} is not here as it was received: install it here again.`);
        await put(head.bytes);
        for await (const part of esp.read(bootName(file))) await put(part);
        const other = slot === 'a' ? 'b' : 'a';
        // The running one is the root's.
        const store = await this.#open(slots[version === running ? slot : other], 'look');
        try {
          for await (const part of readAll(store, head.manifest.slot.bytes)) await put(part);
        } finally {
          await store.close();
        }
      }),
    );
  }

  /** The received update is what the next start tries. Throws UpdateRefusal when there is none. Answers its version. */
  activate(): Promise<string> {
    return this.#wish((files, running) => activation(files, running));
  }

  /** A received update that was to be tried at the next start waits for `activate` again. */
  hold(): Promise<void> {
    return this.#alone(() =>
      this.#withEsp(async (esp) => {
        for (const step of holding(await filesOn(esp), this.#place.version)) await esp.rename(bootName(step.from), bootName(step.to));
      }),
    );
  }

  /** The other version is what the next start takes. `force`: although it was found bad. Throws UpdateRefusal. Answers its version. */
  rollback({ force = false }: { force?: boolean } = {}): Promise<string> {
    return this.#wish((files, running) => rollback(files, running, force));
  }

  /** The running version begins to write the state. */
  noteStart(): void {
    this.#noteState(false);
  }

  /** Also where the installer can read it when the state is encrypted. Without it the installer knows less, and nothing else is lost. */
  #noteState(isHealthy: boolean): void {
    const { recordFile, version } = this.#place;
    const file = stateVersionFile(recordFile);
    noteStateVersion(file, version, isHealthy);
    void this.#noteOutside(readStateVersion(file) ?? version).catch(() => undefined);
  }

  /** The running version works: its trial is over. False: it was on none. */
  markHealthy(): Promise<boolean> {
    this.#noteState(true);
    return this.#alone(() =>
      this.#withEsp(async (esp) => {
        const steps = goodMark(await filesOn(esp), this.#place.version);
        for (const step of steps) await esp.rename(bootName(step.from), bootName(step.to));
        return steps.length > 0;
      }),
    );
  }

  /** What has become of the last wish, once; null: nothing new. */
  async news(): Promise<News | null> {
    const record = readRecord(this.#place.recordFile);
    if (record === null || record.isTold) return null;
    const files = await this.#withEsp(filesOn, 'look');
    const news = newsOf(record, files, this.#place.version);
    if (news !== null) writeRecord(this.#place.recordFile, { ...record, isTold: true });
    return news;
  }

  async #writeSlot(target: Device, content: Content, source: ByteSource, { count, pace }: { count: Count; pace: Count }): Promise<void> {
    const store = await this.#open(target);
    try {
      let at = 0;
      const write = async (part: Buffer) => {
        await store.write(at, part);
        at += part.length;
      };
      await copy(source, content, 'slot', write, count);
      await store.flush();
      await mustBe(content, paced(readAll(store, content.bytes), pace), 'slot');
    } finally {
      await store.close();
    }
  }

  #wish(stepsOf: (files: BootFile[], running: string) => Renaming[]): Promise<string> {
    const { version: running, recordFile } = this.#place;
    return this.#alone(() =>
      this.#withEsp(async (esp) => {
        const steps = stepsOf(await filesOn(esp), running);
        for (const step of steps) await esp.rename(bootName(step.from), bootName(step.to));
        const wanted = bootOrder(await filesOn(esp))[0]?.version ?? running;
        writeRecord(recordFile, { wanted, from: running, isTold: false });
        return wanted;
      }),
    );
  }

  #alone<T>(f: () => Promise<T>): Promise<T> {
    return alone(this.#place.lockFile, async () => {
      this.#busy = true;
      try {
        return await f();
      } finally {
        this.#busy = false;
      }
    });
  }

  async #withEsp<T>(f: (esp: Esp) => Promise<T>, use: Use = 'change'): Promise<T> {
    const store = await this.#open(this.#place.esp, use);
    try {
      return await f(await Esp.open(store));
    } finally {
      await store.close();
    }
  }
}

async function filesOn(esp: Esp): Promise<BootFile[]> {
  return (await esp.list()).flatMap((name) => parseBootName(name) ?? []);
}

function goodText(file: BootFile): string {
  return file.count === null ? 'it ran well before' : `it has not run yet: ${file.count.left} starts to show that it works`;
}

/** Past the page cache: what is read back is what the disk has. */
function openDevice({ path, bytes }: Device, use: Use = 'change'): Promise<BlockStore> {
  return FileStore.open({ path, sizeBytes: bytes, cache: 'direct', shared: use === 'look' });
}

async function* readAll(store: BlockStore, bytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) yield await store.read(at, Math.min(PIECE_BYTES, bytes - at));
}

/** Awaited: it may take its time. */
type Count = (bytes: number) => Promise<void>;

/** Throws UpdateRefusal when what came is not what the manifest says. */
async function copy(
  source: ByteSource,
  content: Content,
  what: string,
  write: (part: Buffer) => Promise<void>,
  count: Count,
): Promise<void> {
  const hash = createHash('sha256');
  let parts: Buffer[] = [];
  let length = 0;
  const put = async () => {
    await write(Buffer.concat(parts));
    await count(length);
    [parts, length] = [[], 0];
  };
  for await (const part of source.pieces(content.bytes, what)) {
    hash.update(part);
    parts.push(part);
    length += part.length;
    if (length >= PIECE_BYTES) await put();
  }
  if (length > 0) await put();
  if (hash.digest('hex') !== content.sha256)
    throw new UpdateRefusal('hash', `The update's ${what} is not what was signed: the file is damaged. Fetch it again.`);
}

async function mustBe(content: Content, parts: AsyncIterable<Buffer>, what: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const part of parts) hash.update(part);
  if (hash.digest('hex') !== content.sha256)
    throw new UpdateRefusal(
      'disk',
      `The disk does not give back the ${what} as it was written: it is failing. Replace it before any update.`,
    );
}
