// The records of a FAT directory that stand for one name (Microsoft's "FAT: General Overview of On-Disk Format" 1.03, 6 and 7), as the image's maker
// and the update write them. Pure.

export const RECORD_BYTES = 32;
export const ATTRIBUTES = { volume: 0x08, longName: 0x0f, directory: 0x10, archive: 0x20 } as const;
/** Of a long name, in one record. */
export const UNITS_PER_RECORD = 13;
/** 2025-01-01, the same in all images: nobody asks for the date, and no clock has to be right. */
const DATE = ((2025 - 1980) << 9) | (1 << 5) | 1;

export interface Named {
  /** 11 characters. */
  shortName: string;
  attributes: number;
  firstUnit: number;
  bytes: number;
}

/** The short name's, which says where the content is. */
export function encodeRecord({ shortName, attributes, firstUnit, bytes }: Named): Buffer {
  const r = Buffer.alloc(RECORD_BYTES);
  r.write(shortName, 0, 'latin1');
  r.writeUInt8(attributes, 11);
  for (const at of [16, 18, 24]) r.writeUInt16LE(DATE, at);
  r.writeUInt16LE(firstUnit >>> 16, 20);
  r.writeUInt16LE(firstUnit & 0xffff, 26);
  r.writeUInt32LE(bytes, 28);
  return r;
}

/** The long name, last part first, and behind it the short one, which nobody uses. */
export function encodeNamed(name: string, named: Named): Buffer {
  const checksum = checksumOf(named.shortName);
  const count = Math.ceil(name.length / UNITS_PER_RECORD);
  const records: Buffer[] = [];
  for (let part = count; part >= 1; part--) {
    const r = Buffer.alloc(RECORD_BYTES);
    r.writeUInt8(part | (part === count ? 0x40 : 0), 0);
    r.writeUInt8(ATTRIBUTES.longName, 11);
    r.writeUInt8(checksum, 13);
    for (let i = 0; i < UNITS_PER_RECORD; i++) {
      const at = (part - 1) * UNITS_PER_RECORD + i;
      const unit = at < name.length ? name.charCodeAt(at) : at === name.length ? 0 : 0xffff;
      r.writeUInt16LE(unit, i < 5 ? 1 + 2 * i : i < 11 ? 14 + 2 * (i - 5) : 28 + 2 * (i - 11));
    }
    records.push(r);
  }
  return Buffer.concat([...records, encodeRecord(named)]);
}

export function checksumOf(shortName: string): number {
  return Buffer.from(shortName, 'latin1').reduce((sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff, 0);
}
