// The recorded session: a 16 MiB guest of QEMU 11.1.3 under TCG, its synchronisation and three checkpoints on demand.
// File (zstd): u8 direction 'f' or 'r', be32 length, bytes; in the order in which they passed the recorder.
import { readFileSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';

export interface Piece {
  direction: 'forward' | 'return';
  bytes: Buffer;
}

export function recordedSession(): Piece[] {
  const url = new URL('../../../../appliance/memory/testdata/qemu-11.1.3-tcg-16MiB.session.zst', import.meta.url);
  const data = zstdDecompressSync(readFileSync(url));
  const pieces: Piece[] = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32BE(at + 1);
    pieces.push({ direction: data[at] === 0x66 ? 'forward' : 'return', bytes: data.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return pieces;
}

/** Split where the engine waits: before READY; then one REQUEST and one checkpoint in turn. */
export function recordedForward(): { synchronisation: Buffer; request: Buffer; checkpoints: Buffer[] } {
  const forward = recordedSession().filter((p) => p.direction === 'forward');
  const [first, second, request, ...rest] = forward.map((p) => p.bytes);
  if (!first || !second || !request) throw new Error('the recorded session is damaged');
  return { synchronisation: Buffer.concat([first, second]), request, checkpoints: rest.filter((b) => b.length > 4) };
}
