// The settings that an operator may change, between the process and appliance/settings: what it sees, and what it may do to this process.
import { randomInt } from 'node:crypto';
import { readPower } from '../../drivers/ipmi/index.ts';
import type { CoServerConfig } from '../config.ts';
import type { State } from '../core/machine.ts';
import type { Replacement } from '../replacement/index.ts';
import { Settings, type SettingsParts } from '../settings/index.ts';
import type { PairUpdater } from '../update/index.ts';
import { encodeSettings } from '../wire/partner-settings.ts';
import type { History } from './history.ts';
import { parseConfig } from './load-config.ts';

/** The operator waits for it. */
const BMC_WITHIN_MS = 5_000;
const NUMBERS = 2 ** 31;

export interface RuntimeParts
  extends Pick<SettingsParts, 'whyBusy' | 'levelAtStart' | 'changed' | 'takePassword' | 'takeWitness' | 'takePeer'> {
  /** As it is in the file: not what a burn-in has raised. */
  config: CoServerConfig;
  configFile: string;
  state: () => State;
  history: Pick<History, 'add'>;
  /** Text to the partner, over the control stream. */
  tell: (text: string) => void;
  /** Ends this process in order, to be started again. */
  end: (why: string) => void;
}

export function settingsOf({ history, tell, end, ...parts }: RuntimeParts): Settings {
  return new Settings({
    ...parts,
    firstNumber: randomInt(NUMBERS),
    problemOf: (text) => {
      try {
        parseConfig(text, parts.configFile);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },
    readBmc: (access) => readPower({ ...access, port: parts.config.fence.port }, { signal: AbortSignal.timeout(BMC_WITHIN_MS) }),
    tell: (severity, text) => history.add({ severity, row: null, text }),
    say: (message) => tell(encodeSettings(message)),
    restart: end,
  });
}

/** What goes on in this process that must not meet a change of the configuration; ''. */
export function whyBusy(replacement: Pick<Replacement, 'attention'>, update: Pick<PairUpdater, 'status'> | null): string {
  if (replacement.attention().length > 0)
    return "A replacement of the other CoServer is under way: that changes this one's configuration, too.";
  const state = update?.status().pair?.state;
  return state === 'sending' || state === 'rolling' ? 'An update of the pair goes on: wait until it is done.' : '';
}
