// One link, as pairing sees it: whole messages out and in, by Ethernet frames of their own type on a socket that is bound to the link's NIC.
// Not TCP: a frame cannot come or leave by any other NIC, needs no addresses, and the protocol repeats itself anyway.
import {
  BROADCAST_MAC,
  buildFrame,
  ETHER_TYPE_LOCAL,
  ETHERNET_HEADER_BYTES,
  interfaceIndex,
  macAddress,
  PacketSocket,
  packFrames,
  unpackFrames,
} from '../../drivers/ethernet/index.ts';

/** The second type for local experiments (IEEE 802, clause 9.2.3); heartbeats have the first. */
export const ETHER_TYPE_PAIRING = 0x88b6;
/** A few hundred messages; what does not fit comes again. */
const BUFFER_BYTES = 64 * 1024;

export interface LinkPortEvents {
  pairing(bytes: Buffer): void;
  /** Only asked for while a key is pending. */
  heartbeat(bytes: Buffer): void;
}

export class LinkPort {
  readonly nic: string;
  readonly #on: LinkPortEvents;
  #pairing: PacketSocket | undefined;
  #heartbeat: PacketSocket | undefined;
  #index = 0;
  /** Why it is not open, one sentence; '': it is. */
  problem = '';

  constructor(nic: string, on: LinkPortEvents) {
    this.nic = nic;
    this.#on = on;
  }

  /** Opens what is not open; a NIC that was replaced is opened anew. Never throws. */
  look(heartbeats: boolean): void {
    try {
      const index = interfaceIndex(this.nic);
      if (index !== this.#index) this.close();
      this.#index = index;
      this.#pairing ??= this.#open(ETHER_TYPE_PAIRING, (bytes) => this.#on.pairing(bytes));
      if (heartbeats) this.#heartbeat ??= this.#open(ETHER_TYPE_LOCAL, (bytes) => this.#on.heartbeat(bytes));
      this.problem = '';
    } catch (error) {
      this.problem = (error as Error).message;
      this.close();
    }
  }

  send(payload: Buffer): void {
    if (!this.#pairing) return;
    try {
      this.#pairing.sendBatch(packFrames([buildFrame(BROADCAST_MAC, macAddress(this.nic), ETHER_TYPE_PAIRING, payload)]));
    } catch (error) {
      this.problem = (error as Error).message;
    }
  }

  close(): void {
    this.#pairing?.close();
    this.#heartbeat?.close();
    this.#pairing = undefined;
    this.#heartbeat = undefined;
    this.#index = 0;
  }

  #open(etherType: number, onBytes: (bytes: Buffer) => void): PacketSocket {
    return new PacketSocket(
      { nic: this.nic, etherType, receiveBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES },
      {
        onFrames: (batch) => {
          for (const frame of unpackFrames(batch).frames) onBytes(frame.subarray(ETHERNET_HEADER_BYTES));
        },
        onError: (error) => {
          this.problem = error.message;
        },
      },
    );
  }
}
