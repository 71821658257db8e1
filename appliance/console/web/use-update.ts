// What is known of this server's software, asked now and then: it is no part of the live picture, since it is read from the disk.
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { UpdatePicture, UpdateState, UpdateVerb } from '../model.ts';
import { answered, isMoving, NOT_ASKED, seen, UPDATE_REQUESTS } from '../update-state.ts';
import { ask as askServer } from './connection.ts';

const MOVING_MS = 1_000;
const RESTING_MS = 10_000;
const TIMEOUT_MS = 8_000;
/** It writes to the disk before it answers. */
const REQUEST_TIMEOUT_MS = 30_000;

export interface Update {
  state: UpdateState;
  /** Asks now. */
  look: () => void;
  /** Answers null when it was accepted, else the reason. */
  ask: (verb: UpdateVerb, force: boolean) => Promise<string | null>;
}

/** `isLive`: the server answers at all. */
export function useUpdate(isLive: boolean): Update {
  const [state, setState] = useState<UpdateState>(NOT_ASKED);
  const [looks, setLooks] = useState(0);
  const look = useCallback(() => setLooks((n) => n + 1), []);
  useEffect(() => {
    if (!isLive) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const abort = new AbortController();
    const once = async (): Promise<void> => {
      const now = await read(abort.signal);
      if (abort.signal.aborted) return;
      setState((before) => seen(before, now));
      // A server that was not started from an image does not become one while it runs.
      if (now.kind !== 'none') timer = setTimeout(() => void once(), isMoving(now) ? MOVING_MS : RESTING_MS);
    };
    void once();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [isLive, looks]);
  const ask = async (verb: UpdateVerb, force: boolean): Promise<string | null> => {
    const { path, body } = UPDATE_REQUESTS[verb](force);
    const { accepted, reason = '', canForce } = await askServer(path, body, { timeoutMs: REQUEST_TIMEOUT_MS });
    setState((before) => answered(before, verb, !accepted && canForce ? reason : null));
    look();
    return accepted ? null : reason;
  };
  return { state, look, ask };
}

async function read(signal: AbortSignal): Promise<UpdateState> {
  try {
    const response = await fetch('/api/update', { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
    if (response.status === 404) return { kind: 'none' };
    const body = (await response.json()) as UpdatePicture & { reason?: string };
    if (response.ok) return { kind: 'known', picture: body, forcible: {} };
    return { kind: 'unknown', reason: body.reason ?? `The server answered with status ${response.status}.` };
  } catch {
    return { kind: 'unknown', reason: 'The server does not say what it runs. It is asked again.' };
  }
}
