// How often a password may be tried: per address five times at once, then with waits that double; for all addresses together one a
// second after a burst. Attempts count before they are verified, so that many at once do not slip through. Pure of clocks: `now` comes in.
// Somebody who floods it can keep the web's login shut; the serial console and the local socket stay open.

const FREE_ATTEMPTS = 5;
const WAIT_MAX_MS = 300_000;
/** An address without an attempt for so long starts anew. */
const FORGOTTEN_MS = 15 * 60_000;
/** A table of addresses must not grow with an attacker's imagination; the oldest goes. */
const ADDRESSES_MAX = 1024;
const BURST_ALL = 30;
const REFILL_MS = 1000;

interface Attempts {
  count: number;
  lastAt: number;
}

export type Admission = { admitted: true } | { admitted: false; retryAfterS: number };

export class LoginLimiter {
  readonly #attempts = new Map<string, Attempts>();
  #tokens = BURST_ALL;
  #refilledAt = 0;

  admit(address: string, now: number): Admission {
    const key = network(address);
    const seen = this.#attempts.get(key);
    const entry = seen && now - seen.lastAt < FORGOTTEN_MS ? seen : { count: 0, lastAt: now };
    const waitMs = entry.count < FREE_ATTEMPTS ? 0 : Math.min(WAIT_MAX_MS, 2 ** (entry.count - FREE_ATTEMPTS) * 1000);
    const leftMs = Math.max(waitMs === 0 ? 0 : entry.lastAt + waitMs - now, this.#waitForAll(now));
    if (leftMs > 0) return { admitted: false, retryAfterS: Math.ceil(leftMs / 1000) };
    this.#tokens -= 1;
    this.#attempts.delete(key);
    this.#attempts.set(key, { count: entry.count + 1, lastAt: now });
    const oldest = this.#attempts.keys().next();
    if (this.#attempts.size > ADDRESSES_MAX && !oldest.done) this.#attempts.delete(oldest.value);
    return { admitted: true };
  }

  succeeded(address: string): void {
    this.#attempts.delete(network(address));
  }

  #waitForAll(now: number): number {
    this.#tokens = Math.min(BURST_ALL, this.#tokens + Math.max(0, now - this.#refilledAt) / REFILL_MS);
    this.#refilledAt = now;
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) * REFILL_MS;
  }
}

/** One host has a whole /64 of IPv6 addresses: they count as one. */
function network(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - left.length - (tail === '' ? 0 : tail.split(':').length);
  return [...left, ...Array.from({ length: Math.max(0, missing) }, () => '0')].slice(0, 4).join(':');
}
