// An update that comes over a console, in parts: each is a request of its own, so that a slow line needs no request without end, and each is answered
// when it is on the disk. One upload at a time.
//
//   begin -> part, part, ... part -> (all bytes are there) received, activated: the answer to the last part
//        a part that is refused, none for a minute, or cancelled: over; the sender begins anew
import { randomBytes } from 'node:crypto';
import { type Manifest, UpdateRefusal } from './bundle.ts';
import type { PairUpdateStatus, PartnerVersions } from './pair-status.ts';
import type { PairUpdater } from './pair-updater.ts';
import type { UpdateStatus, UpdateStore } from './update-store.ts';

/** Of a part. */
export const MAX_PART_BYTES = 1 << 20;
/** A browser that is asleep or a line that is gone; then somebody else may begin. */
const SILENCE_MS = 60_000;

export type Answer =
  | { accepted: true; detail?: Record<string, string | number> }
  /** canForce: asked for with force it would be done. */
  | { accepted: false; reason: string; canForce?: true };

/** The upload that goes on now. */
export interface UploadStatus {
  received: number;
  bytes: number;
  /** Who began it. */
  by: string;
}

export interface UploadDeskOptions {
  store: Pick<UpdateStore, 'status' | 'receive' | 'activate' | 'rollback'>;
  /** Why this server must not be started again now; null: it may. */
  whyNotRestart: () => string | null;
  /** Throws why not; what it answers starts the server again. */
  prepareRestart: () => () => void;
  /** The update of the pair; null: there is no pair here yet. */
  pair?: () => Pick<PairUpdater, 'status' | 'ask'> | null;
  log: (line: string) => void;
  silenceMs?: number;
}

interface Upload {
  id: string;
  bytes: number;
  received: number;
  by: string;
  /** Takes a part; resolves when it was used up. */
  push: (data: Buffer) => Promise<void>;
  cancel: () => void;
  /** Ends in the version, or in why not. */
  outcome: Promise<Answer>;
  isOver: boolean;
}

export interface DeskStatus extends UpdateStatus {
  upload: UploadStatus | null;
  /** Of QEMU, as it runs here; missing where there is no pair. */
  engine?: string;
  pair: PairUpdateStatus | null;
  partner: PartnerVersions | null;
}

export class UploadDesk {
  readonly #o: UploadDeskOptions;
  #upload: Upload | null = null;

  constructor(options: UploadDeskOptions) {
    this.#o = options;
  }

  async status(): Promise<DeskStatus> {
    const status = await this.#o.store.status();
    const u = this.#upload;
    const upload = u && !u.isOver ? { received: u.received, bytes: u.bytes, by: u.by } : null;
    return { ...status, upload, ...(this.#o.pair?.()?.status() ?? { pair: null, partner: null }) };
  }

  async pair(action: 'start' | 'allowRestart' | 'stop', mayRestartGuest: boolean, by: string): Promise<Answer> {
    const pair = this.#o.pair?.() ?? null;
    if (!pair) return { accepted: false, reason: 'There is no pair here: this CoServer is not paired yet, or has just started.' };
    try {
      const answer = await pair.ask(action, mayRestartGuest, by);
      this.#o.log(`console: update of the pair, ${action} from ${by}: ${answer.accepted ? 'accepted' : `refused: ${answer.reason}`}`);
      return answer;
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** `bytes`: of the whole file. The answer's detail: `upload`, the name for the parts. */
  begin(bytes: number, force: boolean, by: string): Answer {
    if (this.#upload && !this.#upload.isOver)
      return { accepted: false, reason: 'Another upload is going on: wait until it has ended, or for a minute.' };
    const { store, log, silenceMs = SILENCE_MS } = this.#o;
    const { push, parts, cancel, end } = pipe(bytes, silenceMs);
    log(`console: update of ${bytes} bytes begun from ${by}`);
    const accepted = (m: Manifest) => log(`console: update to ${m.version} is being written`);
    const outcome = store
      .receive(parts, { force, onAccepted: accepted })
      .then(async (): Promise<Answer> => ({ accepted: true, detail: { version: await store.activate() } }))
      .catch((error: unknown): Answer => refusalOf(error))
      .then((answer) => {
        upload.isOver = true;
        end();
        log(
          `console: update ${answer.accepted ? `to ${answer.detail?.version} is installed: it is tried at the next start` : `refused: ${answer.reason}`}`,
        );
        return answer;
      });
    const upload: Upload = { id: randomBytes(12).toString('hex'), bytes, received: 0, by, push, cancel, outcome, isOver: false };
    this.#upload = upload;
    return { accepted: true, detail: { upload: upload.id, partBytes: MAX_PART_BYTES } };
  }

  /** Parts come one after the other. The answer to the last one comes when the update is on the disk: detail `version`. */
  async part(id: string, offset: number, data: Buffer): Promise<Answer> {
    const upload = this.#upload;
    if (!upload || upload.id !== id) return { accepted: false, reason: 'There is no such upload here any more: begin anew.' };
    if (upload.isOver) return await upload.outcome;
    if (offset !== upload.received || offset + data.length > upload.bytes)
      return {
        accepted: false,
        reason: `Byte ${upload.received} of ${upload.bytes} comes next, not ${data.length} bytes from ${offset} on.`,
      };
    upload.received += data.length;
    await Promise.race([upload.push(data), upload.outcome]);
    if (upload.isOver || upload.received === upload.bytes) return await upload.outcome;
    return { accepted: true, detail: { received: upload.received } };
  }

  /** The sender does not want it any more: somebody may begin at once. Answers when nothing is written any more. */
  async cancel(id: string): Promise<Answer> {
    const upload = this.#upload;
    if (!upload || upload.id !== id || upload.isOver) return { accepted: false, reason: 'There is no such upload here any more.' };
    if (upload.received === upload.bytes)
      return { accepted: false, reason: 'All of it is here already and being checked: it cannot be cancelled any more.' };
    upload.cancel();
    await upload.outcome;
    return { accepted: true };
  }

  async rollback(force: boolean, by: string): Promise<Answer> {
    try {
      const version = await this.#o.store.rollback({ force });
      this.#o.log(`console: going back to ${version} at the next start, from ${by}`);
      return { accepted: true, detail: { version } };
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** `answered`: the answer has left; nothing leaves any more when the restart has begun. */
  restart(force: boolean, by: string, answered: Promise<unknown> = Promise.resolve()): Answer {
    const { log, prepareRestart, whyNotRestart } = this.#o;
    const why = force ? null : whyNotRestart();
    if (why !== null) return { accepted: false, reason: `This server is not started again: ${why}.`, canForce: true };
    try {
      const restart = prepareRestart();
      log(`console: this server starts again, asked from ${by}`);
      answered.then(restart).catch((error: unknown) => log(`console: this server does not start again: ${(error as Error).message}`));
      return { accepted: true };
    } catch (error) {
      return refusalOf(error);
    }
  }
}

function refusalOf(error: unknown): Answer {
  const reason = error instanceof Error ? error.message : String(error);
  return error instanceof UpdateRefusal && error.canForce ? { accepted: false, reason, canForce: true } : { accepted: false, reason };
}

interface Pipe {
  push: (data: Buffer) => Promise<void>;
  parts: AsyncIterable<Buffer>;
  cancel: () => void;
  end: () => void;
}

/** `push` ends when its part was used up; the reader sees an end after `bytes`, and an error when nothing comes for too long or it is cancelled. */
function pipe(bytes: number, silenceMs: number): Pipe {
  let isCancelled = false;
  let given: { data: Buffer; used: () => void } | null = null;
  let wake = () => {};
  let isOver = false;
  async function* read(): AsyncGenerator<Buffer> {
    for (let taken = 0; taken < bytes; ) {
      if (given === null && !isCancelled) await arrival();
      if (isCancelled) throw new UpdateRefusal('truncated', `It was cancelled after ${taken} of ${bytes} bytes. What runs stays.`);
      if (given === null)
        throw new UpdateRefusal(
          'truncated',
          `Nothing more came for ${silenceMs / 1000} s after ${taken} of ${bytes} bytes. Send it again.`,
        );
      const { data, used }: { data: Buffer; used: () => void } = given;
      yield data;
      given = null;
      taken += data.length;
      used();
    }
  }
  const arrival = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, silenceMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  return {
    parts: read(),
    push: (data) =>
      new Promise((used) => {
        if (isOver || data.length === 0) used();
        else given = { data, used };
        wake();
      }),
    cancel: () => {
      isCancelled = true;
      wake();
    },
    end: () => {
      isOver = true;
      wake();
    },
  };
}
