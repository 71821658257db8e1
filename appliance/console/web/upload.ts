// A file goes to this CoServer in parts, each as large as about a second of the line: a slow one must not run into the server's limit for one
// request, and a fast one should not ask often. No part is sent twice: an answer that is lost ends the upload, and the server is told so.
import { type Answer, ask as askServer, NO_ANSWER } from './connection.ts';

/** What the first part may have, before anything is known of the line. */
const FIRST_PART_BYTES = 128 << 10;
const PART_MS = 1_000;
/** The last part is answered when all was read back from the disk. */
const ANSWER_TIMEOUT_MS = 600_000;
/** The rate is of so much time: long enough to be calm, short enough to follow. */
const RATE_WINDOW_MS = 10_000;

export type UploadEnd =
  | { kind: 'installed'; version: string }
  | { kind: 'refused'; reason: string; canForce: boolean }
  | { kind: 'cancelled' }
  /** The last word is missing: what the next start takes says what became of it. */
  | { kind: 'unsure'; reason: string };

export interface UploadProgress {
  sent: number;
  of: number;
  /** null: too early to say. */
  bytesPerSecond: number | null;
  /** The rest is under way; all of it is read back from the disk before that is answered. */
  isLast: boolean;
}

export interface UploadOptions {
  force: boolean;
  onProgress: (progress: UploadProgress) => void;
  /** The operator does not want it any more. */
  signal: AbortSignal;
  /** For tests. */
  ask?: typeof askServer;
  nowMs?: () => number;
}

/** Never throws. */
export async function upload(file: Blob, options: UploadOptions): Promise<UploadEnd> {
  const { force, ask = askServer } = options;
  const begun = await ask('/api/update', { bytes: file.size, force });
  const id = begun.detail?.upload;
  if (!begun.accepted || id === undefined) return refused(begun);
  const end = await sendParts(file, String(id), Number(begun.detail?.partBytes), { ...options, ask });
  if (end.kind !== 'cancelled' && end.kind !== 'unsure') return end;
  // Without this the next one would have to wait until the server believes that nothing comes any more.
  const answer = await ask('/api/update/cancel', { upload: id });
  return end.kind === 'cancelled' && !answer.accepted ? { kind: 'unsure', reason: answer.reason ?? '' } : end;
}

async function sendParts(
  file: Blob,
  id: string,
  maxBytes: number,
  { onProgress, signal, ask = askServer, nowMs = () => performance.now() }: UploadOptions,
): Promise<UploadEnd> {
  const rate = rateMeter();
  let partBytes = Math.min(FIRST_PART_BYTES, maxBytes);
  let bytesPerSecond: number | null = null;
  for (let at = 0; at < file.size; ) {
    if (signal.aborted) return { kind: 'cancelled' };
    const data = await file
      .slice(at, at + partBytes)
      .arrayBuffer()
      .catch(() => null);
    if (data === null || data.byteLength === 0)
      return { kind: 'refused', reason: 'The file cannot be read any more: choose it again.', canForce: false };
    const began = nowMs();
    onProgress({ sent: at, of: file.size, bytesPerSecond, isLast: at + data.byteLength === file.size });
    const answer = await ask(`/api/update/parts/${id}/${at}`, data, { signal, timeoutMs: ANSWER_TIMEOUT_MS });
    if (signal.aborted && !answer.accepted) return { kind: 'cancelled' };
    if (answer.reason === NO_ANSWER)
      return { kind: 'unsure', reason: 'The line broke, or the server did not answer: look whether it runs, then begin anew.' };
    if (!answer.accepted) return refused(answer);
    at += data.byteLength;
    if (answer.detail?.version !== undefined) return { kind: 'installed', version: String(answer.detail.version) };
    const now = nowMs();
    bytesPerSecond = rate(at, now);
    partBytes = nextPartBytes(partBytes, now - began, maxBytes);
  }
  return {
    kind: 'refused',
    reason: 'The server took all of it and did not say what became of it: look at what the next start takes.',
    canForce: false,
  };
}

/** At most doubled or halved, towards what takes a second. */
export function nextPartBytes(bytes: number, tookMs: number, maxBytes: number): number {
  const wanted = (bytes * PART_MS) / Math.max(1, tookMs);
  return Math.min(maxBytes, Math.max(4096, Math.round(Math.min(bytes * 2, Math.max(bytes / 2, wanted)))));
}

/** Bytes a second of the latest time; null before there is anything to say. */
export function rateMeter(): (bytes: number, nowMs: number) => number | null {
  let samples: { bytes: number; at: number }[] = [];
  return (bytes, nowMs) => {
    samples = [...samples.filter((s) => nowMs - s.at <= RATE_WINDOW_MS), { bytes, at: nowMs }];
    const [first] = samples;
    return first && nowMs - first.at >= 500 ? ((bytes - first.bytes) / (nowMs - first.at)) * 1000 : null;
  };
}

const refused = ({ reason = 'The server refused it and did not say why.', canForce = false }: Answer): UploadEnd => ({
  kind: 'refused',
  reason,
  canForce,
});
