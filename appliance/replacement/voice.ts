// What is said on the links while the partner is not heard: beacons, as a server says that is set up; parts of documents; and notices for a server that
// was replaced.
import type { CoServerConfig } from '../config.ts';
import { type Beacon, type DocumentPart, NO_IDENTITY, NO_PROOF, type Stage } from '../setup/beacon.ts';
import { findNics } from '../setup/find-nics.ts';
import type { PartnerLine } from '../setup/partner-line.ts';
import { SetupPorts } from '../setup/ports.ts';
import type { NicFact } from '../setup/roles.ts';

/** Of ticks: nothing is being done, it only says that it is here. */
const SELDOM_TICKS = 4;
/** A server that was replaced has to hear of it before it would start anything by itself (restartGraceMs). */
const NOTICE_TICKS = 4;
const NAME_CHARS = 16;

export interface VoiceEvents {
  part(part: DocumentPart): void;
  /** A frame of the same type that is neither a beacon nor a part. */
  other(bytes: Buffer): void;
}

export class Voice {
  readonly #config: CoServerConfig;
  readonly #identity: string;
  readonly #on: VoiceEvents;
  #ports: SetupPorts | null = null;
  #nics: NicFact[] = [];
  #isLooking = false;
  #tick = 0;
  #sequence = 0;

  /** @param identity 32 hex digits, random with every start. */
  constructor(config: CoServerConfig, identity: string, on: VoiceEvents) {
    this.#config = config;
    this.#identity = identity;
    this.#on = on;
  }

  /** @param stage Null: it says nothing of itself. @param line Whose parts are told; null: nobody's. */
  tick(stage: 'alone' | 'accepting' | null, line: PartnerLine | null, notices: readonly Buffer[]): void {
    this.#ports ??= new SetupPorts(this.#on.part, this.#on.other);
    const ports = this.#ports;
    this.#look();
    ports.look(this.#nics, performance.now());
    const isTime = stage === 'accepting' || this.#tick % SELDOM_TICKS === 0;
    for (const nic of this.#nics) {
      if (stage !== null && isTime) ports.sendBeacon(nic, this.#beacon(nic, stage, ports));
      for (const part of line?.nextParts() ?? []) ports.sendPart(nic, part);
      if (this.#tick % NOTICE_TICKS === 0) for (const notice of notices) ports.sendOther(nic, notice);
    }
    this.#tick++;
  }

  silence(): void {
    this.#ports?.close();
    this.#ports = null;
  }

  #look(): void {
    if (this.#isLooking || (this.#nics.length > 0 && this.#tick % SELDOM_TICKS !== 0)) return;
    this.#isLooking = true;
    void findNics(this.#config.links.map((l) => l.nic))
      .then((nics) => {
        this.#nics = nics;
      })
      .finally(() => {
        this.#isLooking = false;
      });
  }

  #beacon(nic: NicFact, stage: Stage, ports: SetupPorts): Beacon {
    const heard = ports.heardOn(nic.number, this.#identity);
    const at = this.#config.links.findIndex((l) => l.nic === nic.name);
    return {
      identity: this.#identity,
      coServer: this.#config.coServer,
      stage,
      pairId: this.#config.pair.id,
      sequence: this.#sequence++,
      port: nic.number,
      ports: this.#nics.length,
      role: at === 0 ? 'link1' : at === 1 ? 'link2' : 'none',
      name: nic.name.slice(0, NAME_CHARS),
      heardIdentity: heard?.beacon.identity ?? NO_IDENTITY,
      heardPort: heard?.beacon.port ?? 0,
      proof: NO_PROOF,
    };
  }
}
