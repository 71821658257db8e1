// Sessions of signed-in operators: a random token in a cookie, only its hash in memory. Nothing is durable: a restart signs everybody out.
import { createHash, randomBytes } from 'node:crypto';

/** One working day. */
export const SESSION_MS = 12 * 3600_000;
/** One operator has a handful of browsers; the oldest goes when there are more. */
const SESSIONS_MAX = 64;

const digest = (token: string): string => createHash('sha256').update(token).digest('base64');

export class Sessions {
  readonly #expiresAt = new Map<string, number>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A new session's token. */
  open(): string {
    const now = this.#nowMs();
    for (const [key, at] of this.#expiresAt) if (at <= now) this.#expiresAt.delete(key);
    const oldest = this.#expiresAt.keys().next();
    if (this.#expiresAt.size >= SESSIONS_MAX && !oldest.done) this.#expiresAt.delete(oldest.value);
    const token = randomBytes(32).toString('base64url');
    this.#expiresAt.set(digest(token), now + SESSION_MS);
    return token;
  }

  /** Looked up by hash, so that the time of the look-up says nothing about a valid token. */
  isOpen(token: string): boolean {
    const at = this.#expiresAt.get(digest(token));
    return at !== undefined && at > this.#nowMs();
  }

  /** Everybody signs in anew but this one; ''. */
  closeOthers(token: string): void {
    const kept = digest(token);
    for (const key of [...this.#expiresAt.keys()]) if (key !== kept) this.#expiresAt.delete(key);
  }

  close(token: string): void {
    this.#expiresAt.delete(digest(token));
  }
}

/** The value of one cookie of a Cookie header (RFC 6265, 4.2), or ''. */
export function cookieValue(header: string | undefined, name: string): string {
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return '';
}
