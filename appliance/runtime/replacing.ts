// The replacement of a lost partner, between the process and appliance/replacement: what it sees, and what it may do to this process.
import type { CoServerConfig } from '../config.ts';
import type { State } from '../core/machine.ts';
import { markReplaced, Replacement } from '../replacement/index.ts';
import type { Engine } from './effects/engine.ts';
import { endProcess } from './end-process.ts';
import type { History } from './history.ts';
import { log } from './log.ts';

/** A kernel that does not let go of the engine must not keep this process speaking. */
const ENGINE_WITHIN_MS = 5_000;

export interface ReplacingParts {
  /** As it is in the file: not what a burn-in has raised. */
  config: CoServerConfig;
  configFile: string;
  pairKey: Buffer;
  power: { read(): Promise<'on' | 'off'> } | null;
  history: Pick<History, 'add'>;
  engine: Pick<Engine, 'kill'>;
  hardware: () => object | null;
  state: () => State;
  changed: () => void;
  /** Ends this process in order, to be started again. */
  end: (why: string) => void;
}

export function startReplacing({ history, engine, end, ...parts }: ReplacingParts): Replacement {
  const replacement = new Replacement({
    ...parts,
    tell: (severity, text) => history.add({ severity, row: null, text }),
    restart: () => end('a new server takes the place of the partner'),
    replaced: (text) => {
      markReplaced(parts.config.stateDir, text);
      history.add({ severity: 'critical', row: null, text: `${text.charAt(0).toUpperCase()}${text.slice(1)}.` });
      // What still runs here has had no say since: nothing of it leaves while its engine is being ended.
      const late = new Promise<void>((resolve) => setTimeout(resolve, ENGINE_WITHIN_MS));
      void Promise.race([engine.kill().catch(() => undefined), late]).then(() => {
        log('fatal', text);
        endProcess(78);
      });
    },
  });
  replacement.start();
  return replacement;
}
