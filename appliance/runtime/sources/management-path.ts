// Another way to the partner than the links: datagrams between the management addresses, for the case that all links are down and the
// arbiter does not answer (row 4). What comes this way is what the partner says of itself; it never says that a link lives.
//
// A datagram counts when it is young: above the last sequence of the same life of the partner, and naming a datagram of this process
// that was sent at most SILENT_MS ago. So the exchange has to work both ways, and a copy of an old datagram counts for nothing. A life
// that was followed by another one never comes back.
import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { PartnerStatus } from '../../core/machine.ts';
import { MANAGEMENT_PORT } from '../../wire/channel-setup.ts';
import { decodeManagement, encodeManagement, type ManagementDatagram, managementKey } from '../../wire/management.ts';

const SEND_MS = 1_000;
/** While no link is up this path is what is left. */
const SEND_ALONE_MS = 200;
/** No valid datagram for so long: the path is down. Three lost in a row. */
export const SILENT_MS = 3_000;
/** An address that is not there yet, or no longer. */
const REOPEN_MS = 2_000;
/** Datagrams that ask for an answer are answered no more often: a replayed one shall not make us talk. */
const ANSWER_EVERY_MS = 100;
/** Anybody may send thousands a second, of whatever kinds in turn: each kind is told once, then once a minute. */
const QUIET_MS = 60_000;
/** Lives of the partner that are over; more within one life of this process are not worth remembering. */
const PAST_LIVES = 64;

export interface ManagementPathSetup {
  coServer: 'A' | 'B';
  pairKey: Uint8Array;
  address: string;
  /** Empty: there is no such path. */
  peer: string;
  /** Default: MANAGEMENT_PORT. */
  port?: number;
  onStatus: (status: PartnerStatus) => void;
  onPath: (up: boolean) => void;
  /** One sentence, for the log; the same not twice in a row. */
  onProblem: (text: string) => void;
  /** A datagram that is not of this pair's key. Answers what is sent back to its sender; no more often than ANSWER_EVERY_MS. */
  onStranger?: (bytes: Buffer) => readonly Buffer[];
}

export interface ManagementCounters {
  sent: number;
  accepted: number;
  /** Not one of ours, truncated, or not understood. */
  malformed: number;
  otherVersion: number;
  /** Another pair's key, or changed on the way. */
  forged: number;
  /** An old sequence, or a life that is over. */
  replayed: number;
  /** Genuine, but it names nothing that we sent a moment ago: the partner does not hear us (yet), or it is old. */
  unproven: number;
}

export class ManagementPath {
  #setup: ManagementPathSetup;
  readonly #key: Buffer;
  readonly #incarnation = randomBytes(8).toString('hex');
  readonly counters: ManagementCounters = { sent: 0, accepted: 0, malformed: 0, otherVersion: 0, forged: 0, replayed: 0, unproven: 0 };
  #socket: Socket | null = null;
  #sequence = 0;
  /** When what was sent, the young ones only. */
  readonly #sentAt = new Map<number, number>();
  #latest: PartnerStatus | null = null;
  /** The partner's present life, once it has proved itself. */
  #living: { incarnation: string; sequence: number } | null = null;
  readonly #past = new Set<string>();
  /** What the next datagram names. */
  #heard: ManagementDatagram['echo'] = null;
  #up = false;
  #alone = false;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #strangerAt = Number.NEGATIVE_INFINITY;
  #sendTimer: NodeJS.Timeout | null = null;
  #silentTimer: NodeJS.Timeout | null = null;
  #openTimer: NodeJS.Timeout | null = null;
  #problem = '';
  readonly #toldAt = new Map<'forged' | 'otherVersion' | 'ownName', number>();
  #closed = false;

  constructor(setup: ManagementPathSetup) {
    this.#setup = setup;
    this.#key = managementKey(setup.pairKey);
    if (setup.peer !== '') this.#open();
  }

  get isUp(): boolean {
    return this.#up;
  }

  /** What this CoServer is now: told at once, and again and again. */
  say(status: PartnerStatus): void {
    this.#latest = status;
    this.#send();
  }

  /** No link is up: this path talks more often. */
  setAlone(alone: boolean): void {
    if (this.#alone === alone) return;
    this.#alone = alone;
    this.#send();
  }

  /** The partner is reached there from now on. Nothing where there is no such path. */
  moveTo(peer: string): void {
    if (this.#setup.peer === '') return;
    this.#setup = { ...this.#setup, peer };
    this.#send();
  }

  close(): void {
    this.#closed = true;
    for (const timer of [this.#sendTimer, this.#silentTimer, this.#openTimer]) if (timer) clearTimeout(timer);
    this.#socket?.close();
    this.#socket = null;
  }

  #open(): void {
    if (this.#closed) return;
    const { address, port } = this.#setup;
    const socket = createSocket('udp4');
    socket.on('error', (e) => {
      // Bound to an address that is not there (yet): again later.
      this.#tellProblem(`the management path on ${address} is not open: ${e.message}`);
      socket.close();
      if (this.#socket === socket) this.#socket = null;
      if (!this.#closed) this.#openTimer = setTimeout(() => this.#open(), REOPEN_MS);
    });
    socket.on('message', (bytes, from) => this.#receive(bytes, from));
    socket.bind({ address, port: port ?? MANAGEMENT_PORT }, () => {
      if (this.#closed) {
        socket.close();
        return;
      }
      this.#problem = '';
      this.#socket = socket;
      this.#send();
    });
  }

  #send(echo: ManagementDatagram['echo'] = this.#heard): void {
    const { coServer, peer, port } = this.#setup;
    if (this.#closed || this.#socket === null || this.#latest === null) return;
    // An answer to a doubtful one comes beside the regular ones: a flood of those must not keep us from naming the one that lives.
    if (echo === this.#heard) {
      if (this.#sendTimer) clearTimeout(this.#sendTimer);
      this.#sendTimer = setTimeout(() => this.#send(), this.#alone ? SEND_ALONE_MS : SEND_MS);
    }
    const now = performance.now();
    for (const [sequence, at] of this.#sentAt) {
      if (now - at <= SILENT_MS) break;
      this.#sentAt.delete(sequence);
    }
    this.#sequence++;
    this.#sentAt.set(this.#sequence, now);
    let bytes: Buffer;
    try {
      bytes = encodeManagement(
        { sender: coServer, incarnation: this.#incarnation, sequence: this.#sequence, echo, status: this.#latest },
        this.#key,
      );
    } catch (e) {
      this.#tellProblem(`nothing can be told by the management path: ${(e as Error).message}`);
      return;
    }
    this.counters.sent++;
    // Nobody there, no route, no carrier: silence is what the other side notices, and we notice its silence.
    this.#socket.send(bytes, port ?? MANAGEMENT_PORT, peer, () => undefined);
  }

  #receive(bytes: Buffer, from: RemoteInfo): void {
    const reading = decodeManagement(bytes, this.#key);
    switch (reading.kind) {
      case 'malformed':
        this.counters.malformed++;
        this.#setup.onStranger?.(bytes);
        return;
      case 'forged':
        this.counters.forged++;
        this.#answerStranger(bytes, from);
        this.#tellSeldom(
          'forged',
          `by the management path came what is not made with this pair's key, or was changed: ${this.counters.forged} datagrams so far`,
        );
        return;
      case 'otherVersion':
        this.counters.otherVersion++;
        this.#tellSeldom('otherVersion', `the partner speaks version ${reading.version} of the management path, this CoServer does not`);
        return;
      case 'datagram':
        this.#judge(reading.datagram);
        return;
      default:
        reading satisfies never;
    }
  }

  #answerStranger(bytes: Buffer, from: RemoteInfo): void {
    const now = performance.now();
    if (now - this.#strangerAt < ANSWER_EVERY_MS) return;
    this.#strangerAt = now;
    for (const answer of this.#setup.onStranger?.(bytes) ?? []) this.#socket?.send(answer, from.port, from.address, () => undefined);
  }

  #judge(d: ManagementDatagram): void {
    const { incarnation, sequence, echo } = d;
    if (d.sender === this.#setup.coServer) {
      this.counters.malformed++;
      this.#tellSeldom('ownName', 'our own datagram came back by the management path, or the partner is configured as the same CoServer');
      return;
    }
    const isKnown = this.#living?.incarnation === incarnation;
    if (this.#past.has(incarnation) || (isKnown && this.#living !== null && sequence <= this.#living.sequence)) {
      this.counters.replayed++;
      return;
    }
    const now = performance.now();
    const sentAt = echo?.incarnation === this.#incarnation ? this.#sentAt.get(echo.sequence) : undefined;
    if (sentAt === undefined || now - sentAt > SILENT_MS) {
      this.counters.unproven++;
      if (isKnown) {
        // It does not hear us, or did not: it is named as ever, so that both can begin again.
        this.#living = this.#heard = { incarnation, sequence };
        return;
      }
      if (now - this.#answeredAt < ANSWER_EVERY_MS) return;
      this.#answeredAt = now;
      // Perhaps the beginning of a new life, which can prove itself with its next one. Named this once: whoever repeats old datagrams must
      // not make us forget the one that lives.
      this.#send({ incarnation, sequence });
      return;
    }
    this.counters.accepted++;
    if (!isKnown && this.#living !== null) this.#bury(this.#living.incarnation);
    this.#living = { incarnation, sequence };
    this.#heard = { incarnation, sequence };
    if (this.#silentTimer) clearTimeout(this.#silentTimer);
    this.#silentTimer = setTimeout(() => this.#setUp(false), SILENT_MS);
    this.#setUp(true);
    this.#setup.onStatus(d.status);
    // The first of a life: it can believe us as soon as it is named.
    if (!isKnown) this.#send();
  }

  #bury(incarnation: string): void {
    const [oldest] = this.#past;
    if (this.#past.size >= PAST_LIVES && oldest !== undefined) this.#past.delete(oldest);
    this.#past.add(incarnation);
  }

  #setUp(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    this.#setup.onPath(up);
  }

  /** What others can bring about at will. */
  #tellSeldom(kind: 'forged' | 'otherVersion' | 'ownName', text: string): void {
    const now = performance.now();
    if (now - (this.#toldAt.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.#toldAt.set(kind, now);
    this.#setup.onProblem(text);
  }

  #tellProblem(text: string): void {
    if (text === this.#problem) return;
    this.#problem = text;
    this.#setup.onProblem(text);
  }
}
