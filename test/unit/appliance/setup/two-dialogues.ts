// Two dialogues side by side, with the world between them as simple as can be: what one says is at once what the other one sees.
import { keyDecoder } from '../../../../appliance/console/serial/keys.ts';
import { lineText } from '../../../../appliance/console/serial/layout.ts';
import type { PairingView } from '../../../../appliance/pairing/view.ts';
import { NO_IDENTITY, NO_PROOF } from '../../../../appliance/setup/beacon.ts';
import type { Heard } from '../../../../appliance/setup/cables.ts';
import { setupStep } from '../../../../appliance/setup/dialogue.ts';
import { ownDocument, partnerFacts } from '../../../../appliance/setup/partner-document.ts';
import { setupPicture } from '../../../../appliance/setup/picture.ts';
import type { PlannedFile } from '../../../../appliance/setup/plan.ts';
import {
  answersOf,
  cablingOf,
  type SetupDuty,
  type SetupEvent,
  type SetupFacts,
  type SetupState,
  setupStart,
  sideOf,
} from '../../../../appliance/setup/state.ts';

export const NOW = 50_000;
export const PAIR_ID = '0f'.repeat(16);
export const HASH = '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA';

export class Dialogue {
  readonly identity: string;
  state: SetupState = setupStart();
  facts: SetupFacts;
  /** What was asked for, in order. */
  readonly duties: SetupDuty[] = [];
  written: PlannedFile[] | null = null;
  /** Says what happens to the pairing of both. */
  onDuty: (duty: SetupDuty) => void = () => undefined;

  constructor(letter: string, ports = 4) {
    this.identity = letter.repeat(32);
    const nics = Array.from({ length: ports }, (_, i) => ({
      number: i + 1,
      name: `enp${i + 1}s0`,
      mac: `52:54:00:00:${letter}${letter}:0${i + 1}`,
      driver: 'igb',
      bus: `0000:0${i + 1}:00.0`,
      speedMbps: 1000,
      carrier: true,
    }));
    this.facts = {
      version: '0.1.0',
      identity: this.identity,
      nowMs: NOW,
      clockMs: Date.UTC(2026, 10, 21, 15, 30),
      nics,
      heard: [],
      pairing: null,
      keptPairId: null,
      partner: null,
      qualification: null,
      disks: [{ path: '/var/lib/twinstep/disks/guest', text: 'A file on the system disk', mib: 20_000, holds: '' }],
      missing: [],
      machine: { kvm: true, watchdog: '/dev/watchdog', bmc: '/dev/ipmi0', serial: '/dev/ttyS0' },
      web: null,
      stateFolder: '/var/lib/twinstep',
      runFolder: '/run/twinstep',
    };
  }

  feed(event: SetupEvent): void {
    const { state, duties } = setupStep(this.state, event, this.facts);
    this.state = state;
    this.duties.push(...duties);
    for (const duty of duties) {
      if (duty.kind === 'hash') this.feed({ kind: 'hashed', hash: HASH });
      if (duty.kind === 'setClock') this.feed({ kind: 'clockSet', problem: null });
      if (duty.kind === 'write') {
        this.written = duty.files;
        this.feed({ kind: 'written', problem: null });
      }
      this.onDuty(duty);
    }
  }

  /** As typed on a terminal: '\r' is Enter, '\x03' Ctrl-C. */
  type(text: string): void {
    for (const key of keyDecoder()(Buffer.from(text, 'latin1'))) this.feed({ kind: 'key', key });
  }

  screen(): string[] {
    return setupPicture(this.state, this.facts).map(lineText);
  }

  text(): string {
    return this.screen()
      .map((row) => row.trim())
      .join(' ')
      .replace(/ +/g, ' ');
  }

  pairing(view: Partial<PairingView>): void {
    const coServer = sideOf(this.state.values.coServer) ?? 'A';
    const base: PairingView = {
      coServer,
      pairId: PAIR_ID,
      phase: 'waiting',
      code: null,
      sentence: 'Waiting.',
      trouble: '',
      fingerprint: null,
      partnerDone: false,
      dropped: [],
    };
    this.facts = { ...this.facts, pairing: { ...base, ...view } };
  }

  /** What `other` says on its ports, by cables: [port here, port there]. */
  hears(other: Dialogue, cables: readonly (readonly [number, number])[]): void {
    const { roles } = cablingOf(other.state, other.facts);
    const heard = cables.map(([here, there]): Heard => {
      const nic = other.facts.nics[there - 1];
      if (!nic) throw new Error(`no port ${there}`);
      return {
        port: here,
        mac: nic.mac,
        atMs: NOW,
        sinceMs: NOW - 5_000,
        saysSinceMs: NOW - 5_000,
        beacon: {
          identity: other.identity,
          coServer: other.state.isServerChosen ? sideOf(other.state.values.coServer) : null,
          stage: 'asking',
          pairId: NO_IDENTITY,
          sequence: 1,
          port: there,
          ports: 4,
          role: other.state.roles === null ? 'none' : (roles[nic.mac] ?? 'none'),
          name: nic.name,
          heardIdentity: this.identity,
          heardPort: here,
          proof: NO_PROOF,
        },
      };
    });
    this.facts = { ...this.facts, heard };
  }

  /** What `other` has been told, as it comes in. */
  learns(other: Dialogue): void {
    const side = sideOf(other.state.values.coServer);
    const document: unknown = JSON.parse(JSON.stringify(ownDocument(other.state, answersOf(other.state, other.facts), { cpu: 1 })));
    this.facts = { ...this.facts, partner: side ? partnerFacts(document, side) : null };
  }
}

export const CABLES = [
  [1, 1],
  [2, 2],
  [3, 3],
  [4, 4],
] as const;

/** Both look: what each says is what the other sees. */
export function look(a: Dialogue, b: Dialogue, cables: readonly (readonly [number, number])[] = CABLES): void {
  a.hears(b, cables);
  b.hears(
    a,
    cables.map(([x, y]) => [y, x] as const),
  );
  if (a.facts.pairing?.phase === 'paired') {
    a.learns(b);
    b.learns(a);
  }
  a.feed({ kind: 'looked' });
  b.feed({ kind: 'looked' });
}
