// The ports of this server as the setup uses them: beacons and parts of documents out, those of others in. Raw frames bound to a port, so that
// what is heard there came through its cable.
import {
  BROADCAST_MAC,
  buildFrame,
  ETHERNET_HEADER_BYTES,
  interfaceIndex,
  PacketSocket,
  packFrames,
  parseEthernet,
  unpackFrames,
} from '../../drivers/ethernet/index.ts';
import { ETHER_TYPE_PAIRING } from '../pairing/link-port.ts';
import { type Beacon, type DocumentPart, decodeSetup, encodeBeacon, encodePart } from './beacon.ts';
import { HEARD_MS, type Heard } from './cables.ts';
import type { NicFact } from './roles.ts';

/** A few hundred frames; what does not fit comes again. */
const BUFFER_BYTES = 256 * 1024;
/** Other senders on all ports together: a flood of made-up ones must not take the process. */
const HEARD_MAX = 256;
/** Per look. */
const FRAMES_MAX = 512;

interface OpenPort {
  socket: PacketSocket;
  index: number;
}

export class SetupPorts {
  readonly #open = new Map<string, OpenPort>();
  readonly #heard = new Map<string, Heard>();
  readonly #onPart: (part: DocumentPart) => void;
  readonly #onOther: (bytes: Buffer) => void;
  #nics: readonly NicFact[] = [];
  #budget = FRAMES_MAX;

  /** @param onOther Frames of the same type that are none of the setup's, padded as they came. */
  constructor(onPart: (part: DocumentPart) => void, onOther: (bytes: Buffer) => void = () => {}) {
    this.#onPart = onPart;
    this.#onOther = onOther;
  }

  /** Opens what is new, closes what is gone. */
  look(nics: readonly NicFact[], nowMs: number): void {
    this.#nics = nics;
    this.#budget = FRAMES_MAX;
    for (const [name, { socket }] of this.#open) {
      if (nics.some((n) => n.name === name)) continue;
      socket.close();
      this.#open.delete(name);
    }
    for (const { name } of nics) this.#openPort(name);
    for (const [key, { atMs }] of this.#heard) if (nowMs - atMs > HEARD_MS) this.#heard.delete(key);
  }

  heard(): Heard[] {
    return [...this.#heard.values()];
  }

  /** Whom this port hears: the latest of the others. */
  heardOn(port: number, identity: string): Heard | undefined {
    return [...this.#heard.values()].filter((h) => h.port === port && h.beacon.identity !== identity).sort((a, b) => b.atMs - a.atMs)[0];
  }

  sendBeacon(nic: NicFact, beacon: Beacon): void {
    this.#send(nic, encodeBeacon(beacon));
  }

  sendPart(nic: NicFact, part: DocumentPart): void {
    this.#send(nic, encodePart(part));
  }

  close(): void {
    for (const { socket } of this.#open.values()) socket.close();
    this.#open.clear();
  }

  #openPort(name: string): void {
    try {
      const index = interfaceIndex(name);
      const before = this.#open.get(name);
      if (before?.index === index) return;
      before?.socket.close();
      const socket = new PacketSocket(
        { nic: name, etherType: ETHER_TYPE_PAIRING, receiveBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES },
        { onFrames: (batch) => this.#received(name, batch), onError: () => {} },
      );
      this.#open.set(name, { socket, index });
    } catch {
      // It has just gone: the next look knows.
      this.#open.delete(name);
    }
  }

  /** Of a kind of its own. */
  sendOther(nic: NicFact, payload: Buffer): void {
    this.#send(nic, payload);
  }

  #send({ name, mac }: NicFact, payload: Buffer): void {
    try {
      this.#open.get(name)?.socket.sendBatch(packFrames([buildFrame(BROADCAST_MAC, mac, ETHER_TYPE_PAIRING, payload)]));
    } catch {
      // As on any wire: it comes again.
    }
  }

  #received(name: string, batch: Buffer): void {
    const port = this.#nics.find((n) => n.name === name)?.number;
    if (port === undefined) return;
    for (const frame of unpackFrames(batch).frames) {
      const mac = parseEthernet(frame)?.source;
      if (mac === undefined || this.#budget-- <= 0) return;
      const read = decodeSetup(frame.subarray(ETHERNET_HEADER_BYTES));
      if (read.kind === 'beacon') this.#remember(port, mac, read.beacon);
      else if (read.kind === 'part') this.#onPart(read.part);
      else if (read.kind === 'other') this.#onOther(frame.subarray(ETHERNET_HEADER_BYTES));
    }
  }

  #remember(port: number, mac: string, beacon: Beacon): void {
    const key = `${port} ${mac} ${beacon.identity} ${beacon.port}`;
    const atMs = performance.now();
    const before = this.#heard.get(key);
    if (!before && this.#heard.size >= HEARD_MAX) return;
    const saysTheSame = before?.beacon.heardIdentity === beacon.heardIdentity && before.beacon.heardPort === beacon.heardPort;
    const saysSinceMs = saysTheSame ? before.saysSinceMs : atMs;
    this.#heard.set(key, { port, mac, beacon, atMs, sinceMs: before?.sinceMs ?? atMs, saysSinceMs });
  }
}
