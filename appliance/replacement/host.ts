// Runs the window on this CoServer: the voice on the links while the partner is not heard, the pairing with the new server, what it is told, and
// the change-over to the new key. What may be done when is in window.ts; what is durable when, in files.ts.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CoServerConfig } from '../config.ts';
import type { ActionView, AttentionView } from '../core/snapshot.ts';
import type { State } from '../core/state.ts';
import { type PairingHost, startPairing } from '../pairing/host.ts';
import { handOverOf } from '../setup/hand-over.ts';
import { PartnerLine } from '../setup/partner-line.ts';
import type { PartnerFacts } from '../setup/state.ts';
import { editedConfig } from './edited-config.ts';
import { clearStaged, commitReplacement, noteHeard, type ReplacementRecord, readRecord, stage, stagedOf } from './files.ts';
import { decodeNotice, encodeNotice, noticeKeyOf } from './notice.ts';
import { Voice } from './voice.ts';
import {
  ACCEPT,
  ANSWERS_MS,
  CONFIRM,
  DIFFER,
  END,
  GIVEN_UP,
  OPEN_MS,
  replacementActions,
  replacementAttention,
  TAKEN_IN,
  type WindowFacts,
  type WindowStage,
  whyNotReplace,
} from './window.ts';

/** As a server that is set up: soon for people, nothing for a link. */
const TICK_MS = 250;
/** A partner that only starts anew is silent for a while: then nobody need be told that it is gone. */
const SILENT_MS = 10_000;
/** A BMC that does not answer says nothing against it. */
const POWER_WITHIN_MS = 5_000;

type Answer = { accepted: true } | { accepted: false; reason: string };

export interface ReplacementParts {
  config: CoServerConfig;
  configFile: string;
  /** Hex: it counts now. */
  pairKey: Buffer;
  state(): State;
  /** What this server is made of, for the qualification; null: not read. */
  hardware(): object | null;
  /** The old partner's BMC; null: none is configured. */
  power: { read(): Promise<'on' | 'off'> } | null;
  tell(severity: 'info' | 'warning' | 'critical', text: string): void;
  changed(): void;
  /** This process is to end, and to be started again with the new key. */
  restart(): void;
  /** This server was replaced itself, and may never run again. */
  replaced(text: string): void;
}

export class Replacement {
  readonly #parts: ReplacementParts;
  readonly #me: 'A' | 'B';
  readonly #other: 'A' | 'B';
  #record: ReplacementRecord;
  #stage: WindowStage;
  #until = 0;
  #pairing: PairingHost | null = null;
  readonly #line: PartnerLine;
  readonly #voice: Voice;
  #silentSince: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isOpening = false;

  constructor(parts: ReplacementParts) {
    this.#parts = parts;
    this.#me = parts.config.coServer;
    this.#other = this.#me === 'A' ? 'B' : 'A';
    this.#record = readRecord(parts.config.stateDir);
    this.#stage = this.#record.isHeard ? 'closed' : 'telling';
    const identity = randomBytes(16).toString('hex');
    this.#line = new PartnerLine(identity);
    this.#voice = new Voice(parts.config, identity, {
      part: (part) => this.#line.take(part),
      other: (bytes) => this.#onOther(bytes),
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#onTick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#pairing?.close();
    this.#pairing = null;
    this.#voice.silence();
  }

  actions(): ActionView[] {
    return replacementActions(this.#facts(), this.#parts.state());
  }

  attention(): AttentionView[] {
    return replacementAttention(this.#facts(), this.#parts.state());
  }

  /** Null: no action of a replacement. Its verdict and its word have been looked at. */
  action(name: string, by: string): Promise<Answer> | null {
    if (name === ACCEPT) return this.#open(by);
    if (name === END) {
      this.#close(`asked at ${by}`);
      return Promise.resolve({ accepted: true });
    }
    if (!name.startsWith(CONFIRM) && name !== DIFFER) return null;
    const no: Answer = { accepted: false, reason: 'No code is shown now.' };
    if (!this.#pairing) return Promise.resolve(no);
    if (name === DIFFER) return Promise.resolve(this.#pairing.differ());
    const shown = name.slice(CONFIRM.length);
    if (this.#pairing.view().code !== shown)
      return Promise.resolve({ accepted: false, reason: 'The code has changed: compare the new one.' });
    return Promise.resolve(this.#pairing.confirm(shown));
  }

  #facts(): WindowFacts {
    return {
      stage: this.#stage,
      leftMs: Math.max(0, this.#until - performance.now()),
      view: this.#pairing?.view() ?? null,
      problems: this.#pairing?.linkProblems() ?? [],
    };
  }

  // ---- the window --------------------------------------------------------------------------------------------------------------

  async #open(by: string): Promise<Answer> {
    const { config, tell, state } = this.#parts;
    if (this.#isOpening) return { accepted: false, reason: 'It is being opened.' };
    this.#isOpening = true;
    try {
      const runs = (await this.#power()) === 'on';
      if (runs)
        return {
          accepted: false,
          reason: `The BMC of CoServer ${this.#other} (${config.fence.address}) says that its power is on: switch it off first, or take its power away.`,
        };
      const why = whyNotReplace(state());
      if (why !== null) return { accepted: false, reason: why };
      try {
        clearStaged(this.#staged());
      } catch (error) {
        return { accepted: false, reason: `Nothing can be written beside ${config.pair.keyFile}: ${(error as Error).message}.` };
      }
      this.#pairing?.close();
      this.#line.use(this.#me, null);
      this.#stage = 'open';
      this.#until = performance.now() + OPEN_MS;
      const nics = config.links.map((l) => l.nic);
      const keyFile = stagedOf(config.pair.keyFile);
      this.#pairing = startPairing({ coServer: this.#me, pairId: config.pair.id, keyFile, nics, pairKey: null });
      this.#pairing.onChange(this.#parts.changed);
      tell(
        'warning',
        `For ${OPEN_MS / 60_000} minutes a new server may take the place of CoServer ${this.#other}, asked at ${by}: the operator answers for it that the old one is off.`,
      );
      this.#parts.changed();
      return { accepted: true };
    } finally {
      this.#isOpening = false;
    }
  }

  /** Null: nobody knows. */
  async #power(): Promise<'on' | 'off' | null> {
    const { power } = this.#parts;
    if (!power) return null;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), POWER_WITHIN_MS);
    });
    try {
      return await Promise.race([power.read(), late]);
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  #staged(): string[] {
    const { config, configFile } = this.#parts;
    return [config.pair.keyFile, configFile, config.fence.passwordFile || `${config.stateDir}/bmc.password`];
  }

  #close(why: string): void {
    if (this.#stage !== 'open' && this.#stage !== 'agreed') return;
    this.#pairing?.close();
    this.#pairing = null;
    this.#line.use(this.#me, null);
    this.#stage = this.#record.isHeard ? 'closed' : 'telling';
    clearStaged(this.#staged());
    this.#parts.tell('warning', `${GIVEN_UP}: ${why}. Nothing has changed.`);
    this.#parts.changed();
  }

  // ---- while the partner is not heard ------------------------------------------------------------------------------------------

  #onTick(): void {
    const now = performance.now();
    if (this.#stage === 'committed') return;
    if (this.#stage === 'open' || this.#stage === 'agreed') {
      const why = whyNotReplace(this.#parts.state());
      if (why !== null) this.#close(why.replace(/\.$/, ''));
      else if (now >= this.#until) this.#close('nobody came in time');
    }
    if (this.#isPartnerHeard()) {
      this.#silentSince = null;
      // A server that was replaced must hear of it at once, wherever it is plugged in.
      if (this.#record.former.length > 0) this.#voice.tick(null, null, this.#notices());
      else this.#voice.silence();
      return;
    }
    this.#silentSince ??= now;
    this.#follow();
    const isGone = this.#stage !== 'closed' || now - this.#silentSince >= SILENT_MS;
    // Whoever does not know whether it may run offers nobody a place.
    const mayOffer = isGone && this.#parts.state().record.standing === 'simplex';
    const says = this.#stage === 'closed' ? 'alone' : 'accepting';
    const line = this.#stage === 'agreed' || this.#stage === 'telling' ? this.#line : null;
    this.#voice.tick(mayOffer ? says : null, line, this.#notices());
  }

  #isPartnerHeard(): boolean {
    if (!this.#parts.state().partnerHeard) return false;
    if (this.#stage === 'telling') {
      const { stateDir } = this.#parts.config;
      noteHeard(stateDir);
      this.#record = readRecord(stateDir);
      this.#stage = 'closed';
      this.#parts.tell('info', `The new CoServer ${this.#other} is heard: it ${TAKEN_IN}`);
    }
    return true;
  }

  /** The pairing, then the documents, then the change-over. */
  #follow(): void {
    const { config } = this.#parts;
    if (this.#stage === 'telling') this.#line.use(this.#me, this.#parts.pairKey.toString('hex'));
    if (this.#stage === 'open' && this.#pairing?.view().phase === 'paired') {
      this.#stage = 'agreed';
      this.#until = performance.now() + ANSWERS_MS;
      const key = keyIn(stagedOf(config.pair.keyFile));
      this.#line.use(this.#me, key);
      this.#parts.tell(
        'info',
        `The new server and this one have agreed on a key. CoServer ${this.#other} is told what is known of the pair.`,
      );
      this.#parts.changed();
    }
    if (this.#stage !== 'agreed' && this.#stage !== 'telling') return;
    this.#line.tell(this.#document());
    const partner = this.#line.facts;
    if (this.#stage === 'agreed' && partner?.isReady) this.#commit(partner);
  }

  #document(): object {
    const { config, configFile, hardware } = this.#parts;
    const { witness, workload, management, console } = config;
    return {
      coServer: this.#me,
      managementAddress: management.address,
      answers: {
        'witness.address': witness.address,
        'witness.port': `${witness.port}`,
        'guest.name': workload.name,
        'guest.level': `${workload.level}`,
        'guest.memoryMiB': `${workload.memoryMiB}`,
        'guest.cpus': `${workload.cpus}`,
        'guest.diskMiB': `${workload.disk.sizeMiB}`,
        'guest.append': workload.append,
        'guest.readyMarker': workload.readyMarker,
        password: console.passwordHash,
      },
      // It writes its own when this side has changed over.
      isReady: this.#stage === 'telling',
      hardware: hardware(),
      handOver: handOverOf(config, nicsBeside(configFile)),
    };
  }

  #commit(partner: PartnerFacts): void {
    const { config, configFile, pairKey, tell } = this.#parts;
    try {
      const { text, password } = editedConfig(readFileSync(configFile, 'utf8'), config, partner);
      stage(configFile, text);
      if (password) stage(password.path, password.text);
      const files = [...(password ? [password.path] : []), configFile, config.pair.keyFile];
      const former = { coServer: this.#other, at: Date.now(), noticeKey: noticeKeyOf(pairKey).toString('hex') };
      commitReplacement(config.stateDir, former, files);
    } catch (error) {
      this.#close(`the new key and configuration cannot be written (${(error as Error).message})`);
      return;
    }
    this.#stage = 'committed';
    this.#record = readRecord(config.stateDir);
    tell(
      'warning',
      `A new server takes the place of CoServer ${this.#other}: the new key counts from now on, the old server's opens nothing any more. This process starts again with it; the guest goes on.`,
    );
    this.#pairing?.close();
    this.#pairing = null;
    // At once: while the old key counts here, the old server could still join. The new one is told after the restart.
    this.#parts.restart();
  }

  #notices(): Buffer[] {
    const pairId = this.#parts.config.pair.id;
    return this.#record.former.map(({ at, noticeKey }) => encodeNotice({ sender: this.#me, pairId, at }, Buffer.from(noticeKey, 'hex')));
  }

  /**
   * What came by the management network and was not made with this pair's key, as it came. Answers what to send back: it may be from a server
   * that was replaced.
   */
  stranger(bytes: Buffer): Buffer[] {
    this.#onOther(bytes);
    return this.#notices();
  }

  /** Is it this server that was replaced? */
  #onOther(bytes: Buffer): void {
    const { config, pairKey, replaced } = this.#parts;
    const notice = decodeNotice(bytes, config.pair.id, noticeKeyOf(pairKey));
    if (notice === null || notice.sender === this.#me) return;
    this.stop();
    replaced(replacedText(this.#me, notice.at));
  }
}

/** @param at ms since 1970, by the other one's clock. */
export function replacedText(me: 'A' | 'B', at: number): string {
  const day = new Date(at).toISOString().slice(0, 16).replace('T', ' ');
  return `this server was CoServer ${me} until ${day} UTC; then another one took its place, and its key opens nothing any more: it never runs the guest again. To use it as a replacement itself, install it anew`;
}

function keyIn(path: string): string {
  return readFileSync(path, 'utf8').slice(0, 64);
}

function nicsBeside(configFile: string): string {
  try {
    return readFileSync(join(dirname(configFile), 'nics'), 'utf8');
  } catch {
    return '';
  }
}
