// The live picture from the server, and what the page knows of the connection. A server that loses its power says no farewell: a
// stream that is silent for three seconds counts as lost, the picture stays with its age, and it is tried again until it answers.
import type { Snapshot } from '../../core/snapshot.ts';
import { eventDecoder } from '../api/event-stream.ts';

/** The server speaks at least once a second. */
const SILENCE_MS = 3_000;
const CONNECT_TIMEOUT_MS = 4_000;
const RETRY_MS = 1_000;

export type ConnectionState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'lost'; reason: string }
  /** No session, or it ended: the login page. */
  | { kind: 'signedOut' };

export interface Picture<T = Snapshot> {
  snapshot: T;
  /** performance.now() of its arrival: the server's clock may differ from the browser's. */
  arrivedAt: number;
}

export interface ConnectionEvents<T = Snapshot> {
  picture: (picture: Picture<T>) => void;
  state: (state: ConnectionState) => void;
}

/** Runs until `signal` aborts or the session ends. */
export async function followServer<T = Snapshot>(events: ConnectionEvents<T>, signal: AbortSignal): Promise<void> {
  events.state({ kind: 'connecting' });
  while (!signal.aborted) {
    const result = await followOnce(events, signal);
    if (signal.aborted) return;
    events.state(result);
    if (result.kind === 'signedOut') return;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function followOnce<T>(
  events: ConnectionEvents<T>,
  signal: AbortSignal,
): Promise<Exclude<ConnectionState, { kind: 'connecting' | 'live' }>> {
  const silence = new AbortController();
  const stop = (): void => silence.abort();
  signal.addEventListener('abort', stop);
  let timer = setTimeout(stop, CONNECT_TIMEOUT_MS);
  try {
    const response = await fetch('/api/live', { signal: silence.signal, cache: 'no-store' });
    if (response.status === 401) return { kind: 'signedOut' };
    if (!response.ok || !response.body) return { kind: 'lost', reason: await refusalOf(response) };
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const decode = eventDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { kind: 'lost', reason: 'The server closed the connection.' };
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MS);
      for (const event of decode(value)) {
        if (event.event === 'signed-out') return { kind: 'signedOut' };
        if (event.event !== 'snapshot') continue;
        events.picture({ snapshot: JSON.parse(event.data) as T, arrivedAt: performance.now() });
        events.state({ kind: 'live' });
      }
    }
  } catch {
    return { kind: 'lost', reason: silence.signal.aborted ? 'The server is silent.' : 'The server does not answer.' };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    silence.abort();
  }
}

async function refusalOf(response: Response): Promise<string> {
  const body: unknown = await response.json().catch(() => null);
  return typeof body === 'object' && body !== null && 'reason' in body
    ? String(body.reason)
    : `The server answered with status ${response.status}.`;
}

/** What `post` answers when nothing came back. */
export const NO_ANSWER = 'The server did not answer.';

export interface Answer {
  accepted: boolean;
  reason?: string;
  /** Asked for with force it would be done. */
  canForce?: boolean;
  detail?: Record<string, string | number>;
}

/** The lab answers after it has cut or started something; a server that dies of it never does. */
const ANSWER_TIMEOUT_MS = 15_000;

/** `body`: JSON, or bytes. Never throws. */
export async function ask(
  path: string,
  body: object | ArrayBuffer,
  { timeoutMs = ANSWER_TIMEOUT_MS, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Answer> {
  const isBytes = body instanceof ArrayBuffer;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': isBytes ? 'application/octet-stream' : 'application/json', 'x-twinstep-console': '1' },
      body: isBytes ? body : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    const answer = (await response.json().catch(() => null)) as Answer | null;
    if (response.ok) return { ...answer, accepted: true };
    return { reason: `The server answered with status ${response.status}.`, ...answer, accepted: false };
  } catch {
    return { accepted: false, reason: NO_ANSWER };
  }
}

/** Answers null when it was accepted, else the reason. */
export async function post(path: string, body: object): Promise<string | null> {
  const answer = await ask(path, body);
  return answer.accepted ? null : (answer.reason ?? '');
}
