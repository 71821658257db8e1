// Bytes from a terminal -> keys. Pure; bounded: an escape sequence that does not end is dropped, whatever else is odd is ignored.

export type Key =
  /** A printable byte, or one of a UTF-8 character in a password. */
  | { kind: 'byte'; byte: number }
  | { kind: 'enter' }
  | { kind: 'backspace' }
  | { kind: 'escape' }
  /** Ctrl-L. */
  | { kind: 'redraw' }
  /** Ctrl-C, Ctrl-D, Ctrl-U: give up what is being typed. */
  | { kind: 'cancel' }
  | { kind: 'move'; by: 'line' | 'page'; direction: -1 | 1 };

/** The longest sequence a keyboard sends is some eight bytes. */
const SEQUENCE_MAX = 16;

const MOVES: Readonly<Record<string, Key>> = {
  '[A': { kind: 'move', by: 'line', direction: -1 },
  '[B': { kind: 'move', by: 'line', direction: 1 },
  OA: { kind: 'move', by: 'line', direction: -1 },
  OB: { kind: 'move', by: 'line', direction: 1 },
  '[5~': { kind: 'move', by: 'page', direction: -1 },
  '[6~': { kind: 'move', by: 'page', direction: 1 },
};

export function keyDecoder(): (bytes: Uint8Array) => Key[] {
  let sequence: string | null = null;
  const take = (byte: number): Key | null => {
    if (sequence !== null) {
      if (byte === 0x1b) {
        sequence = '';
        return { kind: 'escape' };
      }
      sequence += String.fromCharCode(byte);
      const opens = sequence === '[' || sequence === 'O';
      if (opens || (sequence.startsWith('[') && byte >= 0x20 && byte < 0x40 && sequence.length < SEQUENCE_MAX)) return null;
      const key = MOVES[sequence];
      sequence = null;
      return key ?? null;
    }
    switch (byte) {
      case 0x1b:
        sequence = '';
        return null;
      case 0x0d:
      case 0x0a:
        return { kind: 'enter' };
      case 0x7f:
      case 0x08:
        return { kind: 'backspace' };
      case 0x0c:
        return { kind: 'redraw' };
      case 0x03:
      case 0x04:
      case 0x15:
        return { kind: 'cancel' };
      default:
        return byte >= 0x20 ? { kind: 'byte', byte } : null;
    }
  };
  return (bytes) => {
    const keys: Key[] = [];
    for (const byte of bytes) {
      const key = take(byte);
      if (key) keys.push(key);
    }
    return keys;
  };
}
