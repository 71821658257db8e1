// What the two servers are made of, compared while they are set up: each reads itself once and says it to the other. How that is done
// is qualification's business and comes in through a door.
import type { CoServerConfig } from '../config.ts';
import { planConfig } from './plan.ts';
import { answersOf, cablingOf, type QualificationFact, type SetupFacts, type SetupState } from './state.ts';

export interface QualifyDoor {
  /** JSON. Takes some seconds. */
  read(config: CoServerConfig): Promise<object>;
  /** Throws when one of the two is no such JSON. */
  compare(a: unknown, b: unknown): QualificationFact;
}

export class HardwareReading {
  readonly #door: QualifyDoor;
  readonly #log: (line: string) => void;
  readonly #onRead: () => void;
  #isBegun = false;
  #compared: { with: string; result: QualificationFact | null } = { with: '', result: null };
  /** null: not read yet. Another thing than the door's JSON: it could not be read. */
  own: object | null = null;

  constructor(door: QualifyDoor, log: (line: string) => void, onRead: () => void) {
    this.#door = door;
    this.#log = log;
    this.#onRead = onRead;
  }

  /** Once. */
  read(state: SetupState, facts: SetupFacts, pairId: string): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    void this.#door
      .read(configNow(state, facts, pairId))
      .then((own) => {
        this.own = own;
        this.#onRead();
      })
      .catch((error: Error) => {
        this.#log(`qualification: ${error.message}`);
        // Said to the other one too: neither waits for it.
        this.own = { unreadable: error.message };
        this.#onRead();
      });
  }

  /** Null: one of the two is not known yet. */
  compare(side: 'A' | 'B', theirs: unknown): QualificationFact | null {
    if (this.own === null || theirs === null) return null;
    const key = JSON.stringify(theirs);
    if (key !== this.#compared.with) {
      try {
        this.#compared = { with: key, result: side === 'A' ? this.#door.compare(this.own, theirs) : this.#door.compare(theirs, this.own) };
      } catch (error) {
        const { message } = error as Error;
        this.#log(`qualification: ${message}`);
        this.#compared = { with: key, result: { verdict: 'unknown', sentence: `The two could not be compared: ${message}.`, items: [] } };
      }
    }
    return this.#compared.result;
  }
}

/** As it would be written now, with the ports under the names that they still have. */
export function configNow(state: SetupState, facts: SetupFacts, pairId: string): CoServerConfig {
  const { roles } = cablingOf(state, facts);
  const { nics, machine, stateFolder, runFolder } = facts;
  const config = planConfig({
    answers: answersOf(state, facts),
    nics,
    roles,
    pairId,
    machine,
    partner: { managementAddress: '', handOver: facts.partner?.handOver ?? null },
    stateFolder,
    runFolder,
  });
  const named = (role: string): string => nics.find((n) => roles[n.mac] === role)?.name ?? role;
  return {
    ...config,
    links: config.links.map((link) => ({ ...link, nic: named(link.nic) })),
    business: { nic: named('lan0') },
    management: { ...config.management, nic: named('mgmt0') },
  };
}
