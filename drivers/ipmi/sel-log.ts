// The event log of a BMC: read from any entry on (IPMI 2.0, 31.5), and followed.
//
// Following asks for the log's head, which is one short question. Only when the head has changed are entries read, from the last one known
// on. When that one is no longer what it was (the log was cleared, a full ring has overwritten it, its ids began anew), all of the log is
// read, and what is not known by its 16 bytes is new.
import { COMPLETION } from './messages.ts';
import { isRejection, type Questions } from './questions.ts';
import { decodeSelEntry, decodeSelInfo, type SelEntry, type SelInfo } from './sel.ts';

/** BMCs hold 200 to 8,000. A log without an end ends here. */
const MAX_ENTRIES = 16_384;
const LAST_RECORD = 0xffff;
/** All of an entry (31.5). */
const WHOLE = 0xff;
/** The log may be cleared while it is read; a BMC whose entries come and go all the time is read at the next poll. */
const ATTEMPTS = 3;

export async function readSelInfo(questions: Questions): Promise<SelInfo> {
  const data = await questions.ask('getSelInfo');
  return questions.read(() => decodeSelInfo(data));
}

/** Undefined: there is no such entry. 0 is the first one. */
async function readSelEntry(questions: Questions, id: number): Promise<{ nextId: number; entry: SelEntry } | undefined> {
  try {
    const data = await questions.ask('getSelEntry', [0, 0, id & 0xff, id >> 8, 0, WHOLE]);
    return questions.read(() => decodeSelEntry(data));
  } catch (error) {
    if (isRejection(error, COMPLETION.notPresent)) return undefined;
    throw error;
  }
}

/** From the first one on. An entry that vanishes while they are read ends it. */
export async function* selEntries(questions: Questions): AsyncGenerator<SelEntry, void, undefined> {
  const visited = new Set<number>();
  for (let id = 0; id !== LAST_RECORD && !visited.has(id) && visited.size < MAX_ENTRIES; ) {
    visited.add(id);
    const found = await readSelEntry(questions, id);
    if (found === undefined) return;
    yield found.entry;
    // The first one was asked for as 0.
    visited.add(found.entry.id);
    id = found.nextId;
  }
}

export interface SelNews {
  /** New since the last poll, oldest first; of the first poll: all. */
  entries: SelEntry[];
  info: SelInfo;
  /** Entries were removed since the last poll. */
  wasCleared: boolean;
  /** Events are lost for want of room until somebody clears the log. */
  overflow: boolean;
}

/** Starts over: the log changed under it. */
class ChangedMeanwhile extends Error {}

export class SelFollower {
  readonly #questions: Questions;
  /** The log's head at the last poll, as text; it stood still since the one before. */
  #head: string | undefined;
  #settled = false;
  #last: SelEntry | undefined;
  #lastEraseS = 0;
  /** By their 16 bytes, the oldest first. */
  #known = new Set<string>();

  constructor(questions: Questions) {
    this.#questions = questions;
  }

  /** Throws an IpmiError; what is new then comes with the next poll that works. One at a time. */
  async poll(): Promise<SelNews> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#pollOnce();
      } catch (error) {
        if (!(error instanceof ChangedMeanwhile)) throw error;
        if (attempt >= ATTEMPTS) return { entries: [], info: await readSelInfo(this.#questions), wasCleared: false, overflow: false };
      }
    }
  }

  async #pollOnce(): Promise<SelNews> {
    const info = await readSelInfo(this.#questions);
    const head = [info.entries, info.freeBytes, info.lastAddS, info.lastEraseS, info.overflow].join(' ');
    const isFirst = this.#head === undefined;
    const isSame = head === this.#head;
    // Times are in seconds: in a full ring a second entry within one changes nothing in the head, so it is looked at once more.
    if (isSame && this.#settled) return { entries: [], info, wasCleared: false, overflow: info.overflow };
    const followed = isFirst ? undefined : await this.#readOn(info);
    const { entries, wasCleared } = followed ?? (await this.#readAll(info, isFirst));
    this.#head = head;
    this.#settled = isSame;
    this.#lastEraseS = info.lastEraseS;
    return { entries, info, wasCleared, overflow: info.overflow };
  }

  /** Entries after the last known one. Undefined: it is not there any more. */
  async #readOn(info: SelInfo): Promise<{ entries: SelEntry[]; wasCleared: boolean } | undefined> {
    const last = this.#last;
    if (last === undefined || this.#mayBeAnother(last, info)) return undefined;
    const again = await readSelEntry(this.#questions, last.id);
    if (again === undefined || !again.entry.bytes.equals(last.bytes)) return undefined;
    const entries: SelEntry[] = [];
    const visited = new Set([last.id]);
    // A ring may lead from the newest to the oldest, which is known.
    for (let id = again.nextId; id !== LAST_RECORD && !visited.has(id) && entries.length < MAX_ENTRIES; ) {
      visited.add(id);
      const found = await readSelEntry(this.#questions, id);
      if (found === undefined) throw new ChangedMeanwhile();
      if (this.#known.has(keyOf(found.entry))) break;
      entries.push(found.entry);
      id = found.nextId;
    }
    for (const entry of entries) this.#known.add(keyOf(entry));
    for (const key of this.#known) {
      if (this.#known.size <= MAX_ENTRIES) break;
      this.#known.delete(key);
    }
    this.#last = entries.at(-1) ?? last;
    return { entries, wasCleared: false };
  }

  /** After a clear a BMC without a clock may write the very bytes that were there before: rather told twice than not. */
  #mayBeAnother(entry: SelEntry, info: SelInfo): boolean {
    return info.lastEraseS !== this.#lastEraseS && (entry.timeS === undefined || entry.timeS > info.lastEraseS);
  }

  async #readAll(info: SelInfo, isFirst: boolean): Promise<{ entries: SelEntry[]; wasCleared: boolean }> {
    const all: SelEntry[] = [];
    for await (const entry of selEntries(this.#questions)) all.push(entry);
    // Cleared while it was read: the head that was read is of another log.
    const now = await readSelInfo(this.#questions);
    if (now.lastEraseS !== info.lastEraseS || now.entries < info.entries) throw new ChangedMeanwhile();
    const keys = new Set(all.map(keyOf));
    const isGone = [...this.#known].some((key) => !keys.has(key));
    const entries = all.filter((entry) => !this.#known.has(keyOf(entry)) || (!isFirst && this.#mayBeAnother(entry, info)));
    this.#known = keys;
    this.#last = all.at(-1);
    return { entries, wasCleared: !isFirst && isGone };
  }
}

function keyOf(entry: SelEntry): string {
  return entry.bytes.toString('hex');
}
