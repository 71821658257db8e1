// The two ways of one link: Ethernet frames by our addon, raw IP by raw-socket. Opens them again when the NIC was replaced.
import {
  BROADCAST_MAC,
  buildFrame,
  carrier,
  ETHER_TYPE_LOCAL,
  ETHERNET_HEADER_BYTES,
  interfaceIndex,
  LENGTH_BYTES,
  macAddress,
  PacketSocket,
  packFrames,
  unpackFrames,
} from '../../drivers/ethernet/index.ts';
import { IP_PROTOCOL_EXPERIMENTAL, RawIpSocket } from '../../drivers/ethernet/raw-ip.ts';
import { HEARTBEAT_BYTES } from '../wire/heartbeat.ts';
import type { HeartbeatPath } from './api.ts';

/** A NIC that is not there is looked for this often. */
const REOPEN_MS = 500;
const PRIORITY_FIRST = 7;
/** Heartbeats are tiny; a longer queue would only keep old ones. */
const BUFFER_BYTES = 256 * 1024;

export interface LinkAddresses {
  nic: string;
  remoteAddress: string;
}

export class LinkPaths {
  readonly #link: LinkAddresses;
  readonly #onBytes: (path: HeartbeatPath, bytes: Buffer) => void;
  #ethernet: PacketSocket | undefined;
  #ip: RawIpSocket | undefined;
  #index = 0;
  /** be32 length and Ethernet header of every frame. */
  #header: Buffer = Buffer.alloc(0);
  #nextIndexMs = Number.NEGATIVE_INFINITY;
  #nextOpenMs = Number.NEGATIVE_INFINITY;
  /** Why a path is not open, one sentence; empty: both are. */
  problem = '';

  constructor(link: LinkAddresses, onBytes: (path: HeartbeatPath, bytes: Buffer) => void) {
    this.#link = link;
    this.#onBytes = onBytes;
  }

  /** Looks at the NIC, opens what is not open. Answers the carrier. Never throws. */
  look(atMs: number): boolean {
    let up = false;
    try {
      up = carrier(this.#link.nic);
      // The same name may be another NIC by now (unplugged and back): its sockets are dead without a word.
      if (this.#index !== 0 && atMs >= this.#nextIndexMs) {
        this.#nextIndexMs = atMs + REOPEN_MS;
        if (interfaceIndex(this.#link.nic) !== this.#index) this.close();
      }
    } catch (error) {
      this.problem = (error as Error).message;
      this.close();
    }
    if ((!this.#ethernet || !this.#ip) && atMs >= this.#nextOpenMs) {
      this.#nextOpenMs = atMs + REOPEN_MS;
      this.#open();
    }
    return up;
  }

  /** The payload is a heartbeat: of HEARTBEAT_BYTES. */
  sendEthernet(payload: Buffer): void {
    if (!this.#ethernet) return;
    try {
      this.#ethernet.sendBatch(Buffer.concat([this.#header, payload]));
    } catch (error) {
      this.problem = (error as Error).message;
    }
  }

  sendIp(payload: Buffer): void {
    this.#ip?.send(payload);
  }

  close(): void {
    this.#ethernet?.close();
    this.#ethernet = undefined;
    this.#ip?.close();
    this.#ip = undefined;
    this.#index = 0;
  }

  #open(): void {
    const { nic, remoteAddress } = this.#link;
    try {
      this.#index = interfaceIndex(nic);
      const empty = buildFrame(BROADCAST_MAC, macAddress(nic), ETHER_TYPE_LOCAL, new Uint8Array(HEARTBEAT_BYTES));
      this.#header = packFrames([empty]).subarray(0, LENGTH_BYTES + ETHERNET_HEADER_BYTES);
      this.#ethernet ??= new PacketSocket(
        { nic, etherType: ETHER_TYPE_LOCAL, priority: PRIORITY_FIRST, receiveBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES },
        {
          onFrames: (batch) => {
            for (const frame of unpackFrames(batch).frames) this.#onBytes('ethernet', frame.subarray(ETHERNET_HEADER_BYTES));
          },
        },
      );
      if (!this.#ip) {
        const ip = new RawIpSocket(
          { nic, remoteAddress, protocol: IP_PROTOCOL_EXPERIMENTAL, priority: PRIORITY_FIRST },
          {
            onPayload: (payload) => this.#onBytes('ip', payload),
            onError: (error, closed) => {
              this.problem = error.message;
              if (closed && this.#ip === ip) this.#ip = undefined;
            },
          },
        );
        this.#ip = ip;
      }
      this.problem = '';
    } catch (error) {
      this.problem = (error as Error).message;
    }
  }
}
