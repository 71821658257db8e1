// A witness for a test: its folder, enrolled pairs, clients that say when they are heard.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoServerName } from '../../../../appliance/core/snapshot.ts';
import type { ReportedState } from '../../../../appliance/core/witness.ts';
import { deriveKey } from '../../../../appliance/wire/keys.ts';
import { WitnessClient, type WitnessStanding } from '../../../../appliance/witness/client.ts';
import { PairFolder } from '../../../../appliance/witness/enrolment.ts';

export interface TestPair {
  pairId: string;
  pairKey: Buffer;
}

export function newPair(): TestPair {
  return { pairId: randomBytes(16).toString('hex'), pairKey: randomBytes(32) };
}

export function enrol(stateDir: string, { pairId, pairKey }: TestPair): void {
  new PairFolder(stateDir).add({ pairId, key: deriveKey(pairKey, 'witness') });
}

/** A state folder, removed when the test ends. */
export function stateFolder(t: { teardown: (f: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-witness-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A CoServer as its witness sees it. */
export class Voice {
  readonly client: WitnessClient;
  /** Each change, in order. */
  readonly reasons: string[] = [];
  #reachable = false;
  #standing: WitnessStanding | null = null;
  #waiting: { isMet: () => boolean; resolve: () => void }[] = [];

  constructor(port: number, pair: TestPair, coServer: CoServerName, report?: { generation: number; state: ReportedState }) {
    this.client = new WitnessClient({
      address: '127.0.0.1',
      port,
      ...pair,
      coServer,
      incarnation: randomBytes(8).toString('hex'),
      onReachable: (reachable, reason) => {
        this.#reachable = reachable;
        if (reason) this.reasons.push(reason);
        this.#look();
      },
      onStanding: (standing) => {
        this.#standing = standing;
        this.#look();
      },
    });
    if (report) this.client.setReport(report);
  }

  reachable(wanted = true): Promise<void> {
    return this.#until(() => this.#reachable === wanted);
  }

  confirmed(): Promise<void> {
    return this.#until(() => this.#standing?.confirmed === true);
  }

  unconfirmed(): Promise<void> {
    return this.#until(() => this.#standing?.confirmed === false);
  }

  /** The witness, confirmed, knows this generation and owner. */
  stands(generation: number, owner: CoServerName | null): Promise<void> {
    return this.#until(
      () => this.#standing?.confirmed === true && this.#standing.generation === generation && this.#standing.owner === owner,
    );
  }

  /** The first reason that fits. */
  async why(pattern: RegExp): Promise<string> {
    await this.#until(() => this.reasons.some((r) => pattern.test(r)));
    return this.reasons.find((r) => pattern.test(r)) ?? '';
  }

  #until(isMet: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isMet, resolve });
      this.#look();
    });
  }

  #look(): void {
    this.#waiting = this.#waiting.filter((w) => {
      if (!w.isMet()) return true;
      w.resolve();
      return false;
    });
  }
}
