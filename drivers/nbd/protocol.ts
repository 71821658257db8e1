// Numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). All big endian.

export const MAGIC_SERVER = 0x4e42444d41474943n; // 'NBDMAGIC'
export const MAGIC_OPTION = 0x49484156454f5054n; // 'IHAVEOPT'
export const MAGIC_OPTION_REPLY = 0x3e889045565a9n;
export const MAGIC_REQUEST = 0x25609513;
export const MAGIC_SIMPLE_REPLY = 0x67446698;
export const MAGIC_STRUCTURED_REPLY = 0x668e33ef;

/** Handshake flags. */
export const FIXED_NEWSTYLE = 1;
export const NO_ZEROES = 2;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;
export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x80000001,
  invalid: 0x80000003,
  unknownExport: 0x80000006,
  tooBig: 0x80000009,
} as const;
export const INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const TRANSMISSION = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDontFragment: 1 << 7,
  canMultiConn: 1 << 8,
  sendFastZero: 1 << 11,
} as const;

export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6, blockStatus: 7 } as const;
export const COMMAND_FLAG = { fua: 1 << 0, noHole: 1 << 1, dontFragment: 1 << 2, requestOne: 1 << 3, fastZero: 1 << 4 } as const;

export const CHUNK_FLAG_DONE = 1;
export const CHUNK = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, error: 0x8001, errorOffset: 0x8002 } as const;
/** Every error chunk has this bit. */
export const CHUNK_IS_ERROR = 0x8000;

/** The only metadata context we know, and the number that we give it. */
export const BASE_ALLOCATION = 'base:allocation';
export const BASE_ALLOCATION_ID = 1;
/** Of an extent in base:allocation. */
export const STATE = { hole: 1 << 0, zero: 1 << 1 } as const;

export const NBD_ERROR = { EPERM: 1, EIO: 5, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOVERFLOW: 75, ENOTSUP: 95, ESHUTDOWN: 108 } as const;
export type NbdErrorName = keyof typeof NBD_ERROR;

/** Names of exports and contexts. */
export const NAME_MAX_BYTES = 4096;

/** Block sizes we announce: requests of any alignment are taken, whole pages are best, and no more than this at a time. */
export const BLOCK_SIZE = { minimum: 512, preferred: 4096, maximum: 32 * 1024 * 1024 } as const;
