// Ethernet II headers, and batches of frames: be32 length, frame, again and again (the framing of QEMU's `-netdev stream`). Pure.
// IEEE 802.3 clause 3.2; VLAN tags IEEE 802.1Q clause 9.6.

export const ETHERNET_HEADER_BYTES = 14;
export const LENGTH_BYTES = 4;
/** Below it a frame has no complete header, above it no NIC and no engine makes one (64 KiB segment train with headers). */
export const FRAME_MIN_BYTES = ETHERNET_HEADER_BYTES;
export const FRAME_MAX_BYTES = 65_600;
export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';

export const ETHER_TYPE_IPV4 = 0x0800;
export const ETHER_TYPE_ARP = 0x0806;
export const ETHER_TYPE_VLAN = 0x8100;
export const ETHER_TYPE_IPV6 = 0x86dd;
/** For local experiments (IEEE 802, clause 9.2.3): our heartbeat. */
export const ETHER_TYPE_LOCAL = 0x88b5;
/** To `PacketSocket`: every frame (Linux' ETH_P_ALL). */
export const ETHER_TYPE_ALL = 0x0003;

export interface EthernetHeader {
  destination: string;
  source: string;
  /** Behind a VLAN tag: the inner type. */
  etherType: number;
  /** 802.1Q tag control information; undefined: untagged. */
  vlan: number | undefined;
  /** Where the payload begins. */
  payloadOffset: number;
}

const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** '52:54:00:00:00:01' -> 6 bytes. Throws RangeError naming the text. */
export function macToBytes(mac: string): Buffer {
  if (!MAC_PATTERN.test(mac)) throw new RangeError(`'${mac}' is not a MAC address (like 52:54:00:12:34:56)`);
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function macFromBytes(bytes: Uint8Array, offset = 0): string {
  let text = '';
  for (let i = 0; i < 6; i++) text += `${i ? ':' : ''}${(bytes[offset + i] ?? 0).toString(16).padStart(2, '0')}`;
  return text;
}

/** A whole frame without padding: NICs pad to 60 bytes themselves. */
export function buildFrame(destination: string, source: string, etherType: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(ETHERNET_HEADER_BYTES + payload.length);
  macToBytes(destination).copy(frame, 0);
  macToBytes(source).copy(frame, 6);
  frame.writeUInt16BE(etherType, 12);
  frame.set(payload, ETHERNET_HEADER_BYTES);
  return frame;
}

/** undefined: too short to be a frame. One VLAN tag is looked behind. */
export function parseEthernet(frame: Buffer): EthernetHeader | undefined {
  if (frame.length < ETHERNET_HEADER_BYTES) return undefined;
  const header = { destination: macFromBytes(frame, 0), source: macFromBytes(frame, 6) };
  const etherType = frame.readUInt16BE(12);
  if (etherType !== ETHER_TYPE_VLAN) return { ...header, etherType, vlan: undefined, payloadOffset: 14 };
  if (frame.length < 18) return undefined;
  return { ...header, etherType: frame.readUInt16BE(16), vlan: frame.readUInt16BE(14), payloadOffset: 18 };
}

/** One batch of the given frames. Throws RangeError when a frame has an impossible length. */
export function packFrames(frames: readonly Uint8Array[]): Buffer {
  let bytes = 0;
  for (const frame of frames) bytes += LENGTH_BYTES + frame.length;
  const batch = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const frame of frames) {
    if (frame.length < FRAME_MIN_BYTES || frame.length > FRAME_MAX_BYTES) throw new RangeError(`a frame of ${frame.length} bytes`);
    batch.writeUInt32BE(frame.length, at);
    batch.set(frame, at + LENGTH_BYTES);
    at += LENGTH_BYTES + frame.length;
  }
  return batch;
}

/** The whole frames of a batch, as views, and how many bytes they take: the rest is an unfinished frame. Throws RangeError on a bad length. */
export function unpackFrames(batch: Buffer): { frames: Buffer[]; usedBytes: number } {
  const frames: Buffer[] = [];
  let at = 0;
  while (batch.length - at >= LENGTH_BYTES) {
    const length = batch.readUInt32BE(at);
    if (length < FRAME_MIN_BYTES || length > FRAME_MAX_BYTES)
      throw new RangeError(`a frame of ${length} bytes at offset ${at} of the batch`);
    if (batch.length - at - LENGTH_BYTES < length) break;
    frames.push(batch.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length));
    at += LENGTH_BYTES + length;
  }
  return { frames, usedBytes: at };
}
