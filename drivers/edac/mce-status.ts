// The status of a machine check bank (IA32_MCi_STATUS), in words. Pure.
//
// Source: Intel 64 and IA-32 Architectures SDM volume 3B, 15.3.2.2 (the register), 15.9 (the error code, bits 15:0; table 15-8 simple,
// 15-9 to 15-16 compound). AMD keeps bits 57 to 63 and the compound codes (AMD64 APM volume 2, 9.3.2), not the extension's.
//
//   63 valid  62 overflow  61 uncorrected  60 enabled  59 MISC valid  58 ADDR valid  57 context corrupt  56 signalled  55 action required

export interface MceStatus {
  valid: boolean;
  overflow: boolean;
  corrected: boolean;
  enabled: boolean;
  addressValid: boolean;
  /** The processor's state may be wrong: no restart is possible. */
  contextCorrupt: boolean;
  /** Bits 15:0 (MCACOD) and 31:16 (MSCOD, the model's own). */
  errorCode: number;
  modelCode: number;
  /** "data cache level 0, data read": what the error code says. */
  what: string;
}

const bit = (status: bigint, number: number): boolean => ((status >> BigInt(number)) & 1n) === 1n;

/** Every 64 bits have a meaning: it never throws. */
export function decodeMceStatus(status: bigint): MceStatus {
  const errorCode = Number(status & 0xffffn);
  return {
    valid: bit(status, 63),
    overflow: bit(status, 62),
    corrected: !bit(status, 61),
    enabled: bit(status, 60),
    addressValid: bit(status, 58),
    contextCorrupt: bit(status, 57),
    errorCode,
    modelCode: Number((status >> 16n) & 0xffffn),
    what: errorCodeInWords(errorCode),
  };
}

const SIMPLE = new Map<number, string>([
  [0x0000, 'no error'],
  [0x0001, 'unclassified error'],
  [0x0002, 'parity error in microcode ROM'],
  [0x0003, 'error signalled from outside (BINIT#)'],
  [0x0004, 'functional redundancy check error'],
  [0x0005, 'internal parity error'],
  [0x0006, 'SMM handler code access violation'],
  [0x0400, 'internal timer error'],
  [0x0e0b, 'I/O error'],
]);
const LEVEL = ['level 0', 'level 1', 'level 2', 'any level'];
const TRANSACTION = ['instruction', 'data', 'generic', 'unknown'];
const REQUEST = ['error', 'read', 'write', 'data read', 'data write', 'instruction fetch', 'prefetch', 'eviction', 'snoop'];
const MEMORY_REQUEST = ['undefined request', 'read', 'write', 'address or command', 'scrub'];
const PARTICIPANT = ['local request', 'response to a request', 'observed as third party', 'generic'];
const BUS_TARGET = ['memory', 'reserved', 'I/O', 'other'];
/** Bit 12 only says that this kind's corrected errors are filtered. */
const FILTERED = 1 << 12;
const ANY_CHANNEL = 15;

function errorCodeInWords(code: number): string {
  const simple = SIMPLE.get(code);
  if (simple !== undefined) return simple;
  const form = code & ~FILTERED;
  const level = LEVEL[code & 3] ?? '';
  const transaction = TRANSACTION[(code >> 2) & 3] ?? '';
  const request = REQUEST[(code >> 4) & 15] ?? 'unknown request';
  if ((form & 0xfffc) === 0x000c) return `cache hierarchy, ${level}`;
  if ((form & 0xfff0) === 0x0010) return `${transaction} TLB, ${level}`;
  if ((form & 0xff80) === 0x0080) return `memory controller, ${memory(code)}`;
  if ((form & 0xff80) === 0x0280) return `memory as a cache, ${memory(code)}`;
  if ((form & 0xff00) === 0x0100) return `${transaction} cache ${level}, ${request}`;
  if ((form & 0xf800) === 0x0800) return `bus or interconnect, ${bus(code)}, ${request}, ${level}`;
  if ((code & 0xfc00) === 0x0400) return 'internal unclassified error';
  return 'error code not known';
}

function memory(code: number): string {
  const channel = code & 15;
  return `${MEMORY_REQUEST[(code >> 4) & 7] ?? 'reserved request'}, ${channel === ANY_CHANNEL ? 'channel not known' : `channel ${channel}`}`;
}

function bus(code: number): string {
  const timedOut = (code & 0x100) !== 0 ? ', timed out' : '';
  return `${PARTICIPANT[(code >> 9) & 3] ?? ''}, ${BUS_TARGET[(code >> 2) & 3] ?? ''}${timedOut}`;
}

/** One line for the evidence: "corrected: memory controller, read, channel 0; 2 lost (status 0x...)". */
export function mceText(status: bigint): string {
  const { corrected, overflow, contextCorrupt, what, valid } = decodeMceStatus(status);
  const notes = [overflow && 'more were lost', contextCorrupt && 'processor context corrupt', !valid && 'not marked valid'];
  const said = [`${corrected ? 'corrected' : 'uncorrected'}: ${what}`, ...notes.filter((note) => note !== false)].join('; ');
  return `${said} (status 0x${status.toString(16).padStart(16, '0')})`;
}
