// Frames for the gate's tests: made byte by byte from the specifications, not by the code under test.
export const GUEST_MAC = '52:54:00:77:00:1a';
export const OTHER_MAC = '02:00:00:00:00:99';
export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function ethernet(to: string, from: string, type: number, payload: Uint8Array): Buffer {
  const head = Buffer.concat([mac(to), mac(from), Buffer.from([type >> 8, type & 0xff])]);
  return Buffer.concat([head, payload]);
}

export function ip4(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

/** An IPv4 packet with a payload that starts with `label`. */
export function ipv4Frame(to: string, from: string, source: string, destination: string, label = 0, bytes = 46): Buffer {
  const p = Buffer.alloc(Math.max(bytes, 24));
  p[0] = 0x45;
  p.writeUInt16BE(p.length, 2);
  p[8] = 64;
  p[9] = 17;
  ip4(source).copy(p, 12);
  ip4(destination).copy(p, 16);
  p.writeUInt32BE(label, 20);
  return ethernet(to, from, 0x0800, p);
}

/** The `label` of such a frame. */
export function labelOf(frame: Buffer): number {
  return frame.readUInt32BE(14 + 20);
}

export function arpFrame(from: string, operation: number, senderMac: string, senderIp: string, targetIp: string): Buffer {
  const p = Buffer.concat([
    Buffer.from('000108000604', 'hex'),
    Buffer.from([0, operation]),
    mac(senderMac),
    ip4(senderIp),
    Buffer.alloc(6),
    ip4(targetIp),
  ]);
  return ethernet(BROADCAST, from, 0x0806, Buffer.concat([p, Buffer.alloc(18)]));
}

/** Neighbour solicitation (135) or advertisement (136); the checksum is left 0: nothing under test verifies it. */
export function neighborFrame(from: string, type: number, sourceHex: string, targetHex: string): Buffer {
  const p = Buffer.alloc(40 + 24);
  p[0] = 0x60;
  p.writeUInt16BE(24, 4);
  p[6] = 58;
  p[7] = 255;
  Buffer.from(sourceHex, 'hex').copy(p, 8);
  Buffer.from('ff020000000000000000000000000001', 'hex').copy(p, 24);
  p[40] = type;
  Buffer.from(targetHex, 'hex').copy(p, 48);
  return ethernet('33:33:00:00:00:01', from, 0x86dd, p);
}

export function framed(...frames: Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((f) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(f.length);
      return [length, f];
    }),
  );
}

/** The frames of a batch. */
export function unframed(batch: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < batch.length; ) {
    const length = batch.readUInt32BE(at);
    frames.push(batch.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}
