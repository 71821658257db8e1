// The settings of this server, asked now and then: they are no part of the live picture.
import { useCallback, useEffect, useState } from 'preact/hooks';
import { SETTINGS_NOT_ASKED, type SettingsPicture, type SettingsState } from '../settings-state.ts';
import { type Answer, ask } from './connection.ts';

/** Why one cannot be changed now may pass. */
const LOOK_EVERY_MS = 10_000;
const TIMEOUT_MS = 8_000;
/** A BMC is asked first, the other CoServer writes to its disk. */
const CHANGE_TIMEOUT_MS = 30_000;

export interface SettingsOfServer {
  state: SettingsState;
  change: (name: string, values: Readonly<Record<string, string>>, accept: boolean) => Promise<Answer>;
}

/** `isLive`: the server answers at all. */
export function useSettings(isLive: boolean): SettingsOfServer {
  const [state, setState] = useState<SettingsState>(SETTINGS_NOT_ASKED);
  const [looks, setLooks] = useState(0);
  const look = useCallback(() => setLooks((n) => n + 1), []);
  useEffect(() => {
    if (!isLive) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const abort = new AbortController();
    const once = async (): Promise<void> => {
      const now = await read(abort.signal);
      if (abort.signal.aborted) return;
      setState(now);
      timer = setTimeout(() => void once(), LOOK_EVERY_MS);
    };
    void once();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [isLive, looks]);
  const change: SettingsOfServer['change'] = async (name, values, accept) => {
    const answer = await ask(`/api/settings/${name}`, { values, accept }, { timeoutMs: CHANGE_TIMEOUT_MS });
    look();
    return answer;
  };
  return { state, change };
}

async function read(signal: AbortSignal): Promise<SettingsState> {
  try {
    const response = await fetch('/api/settings', {
      cache: 'no-store',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    if (response.status === 404) return { kind: 'unknown', reason: 'Nothing can be changed here now.' };
    const body = (await response.json()) as SettingsPicture & { reason?: string };
    if (response.ok) return { kind: 'known', picture: body };
    return { kind: 'unknown', reason: body.reason ?? `The server answered with status ${response.status}.` };
  } catch {
    return { kind: 'unknown', reason: 'The server does not say what can be changed. It is asked again.' };
  }
}
