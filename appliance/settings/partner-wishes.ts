// What the other CoServer asks this one to take: a password that both have had, a witness, the other one's own address. It comes under the pair's key,
// and was asked for by the administrator there; it is looked at all the same.
import { isIP } from 'node:net';
import type { CoServerConfig } from '../config.ts';
import { passwordHashProblem } from '../console/api/password.ts';
import type { State } from '../core/state.ts';
import { withHost } from '../replacement/edited-config.ts';
import type { SettingsMessage, WitnessPlace } from '../wire/partner-settings.ts';
import { otherOf } from './changes.ts';
import { levelFiles, type NewFile, passwordFiles, peerFiles, witnessFiles } from './edits.ts';
import { sourcesOf } from './start.ts';
import { whyNotAtLevel, whyNotWitness } from './when.ts';

export interface WishParts {
  config: CoServerConfig;
  configFile: string;
  state(): State;
  whyNothing(): string;
  commit(files: readonly NewFile[]): void;
  /** As configured. */
  level: { now: 2 | 3 };
  tell(severity: 'info' | 'warning', text: string): void;
  takePassword(hash: string, session: undefined): void;
  takeWitness(place: WitnessPlace): void;
  takePeer(address: string): void;
}

export class PartnerWishes {
  readonly #p: WishParts;

  constructor(parts: WishParts) {
    this.#p = parts;
  }

  /** '': it is so here now. Else why not. Never rejects. */
  async take(message: Exclude<SettingsMessage, { kind: 'answer' }>): Promise<string> {
    try {
      return this.#take(message);
    } catch (error) {
      return `it cannot be written there (${(error as Error).message})`;
    }
  }

  #take(message: Exclude<SettingsMessage, { kind: 'answer' }>): string {
    const { config, configFile, tell } = this.#p;
    const other = otherOf(config);
    switch (message.kind) {
      case 'password': {
        const { from, to } = message;
        if (config.console.passwordHash === to) return '';
        if (config.console.passwordHash !== from) return 'it has a password of its own';
        if (to === '' || passwordHashProblem(to) !== null) return 'what came is no password';
        const why = this.#p.whyNothing();
        if (why !== '') return lowered(why);
        this.#p.commit(passwordFiles(sourcesOf(config, configFile), to));
        config.console.passwordHash = to;
        this.#p.takePassword(to, undefined);
        tell('info', `The administrator's password was changed on CoServer ${other}, and so here: whoever was signed in is signed out.`);
        return '';
      }
      case 'witness': {
        const { place } = message;
        if (config.witness.address === place.address && config.witness.port === place.port) return '';
        const why = this.#p.whyNothing() || whyNotWitness(this.#p.state());
        if (why !== '') return lowered(why);
        this.#p.commit(witnessFiles(sourcesOf(config, configFile), place));
        Object.assign(config.witness, place);
        this.#p.takeWitness(place);
        tell('info', `The witness is ${place.address}, port ${place.port}, from now on, as asked on CoServer ${other}.`);
        return '';
      }
      case 'level': {
        const { level } = message;
        if (this.#p.level.now === level) return '';
        const why = this.#p.whyNothing() || (whyNotAtLevel(this.#p.state(), level) ?? '');
        if (why !== '') return lowered(why);
        this.#p.commit(levelFiles(sourcesOf(config, configFile), level));
        this.#p.level.now = level;
        tell('info', `The pair is to run at protection level ${level}, as asked on CoServer ${other}.`);
        return '';
      }
      case 'address': {
        const { address } = message;
        if (config.management.peer === address || config.management.peer === '') return '';
        if (!isIP(address)) return 'what came is no address';
        const why = this.#p.whyNothing();
        if (why !== '') return lowered(why);
        this.#p.commit(peerFiles(sourcesOf(config, configFile), address));
        const url = config.console.urls[other];
        if (url !== '') config.console.urls[other] = withHost(url, address);
        config.management.peer = address;
        this.#p.takePeer(address);
        tell('info', `The management address of CoServer ${other} is ${address} from now on.`);
        return '';
      }
      default:
        return message satisfies never;
    }
  }
}

const lowered = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '');
