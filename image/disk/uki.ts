// A unified kernel image: systemd's stub, an EFI program (PE32+), with kernel, initrd and command line added as sections of it, so that one
// file is what the firmware starts, and one signature covers all (UAPI specification "Unified Kernel Image"; Microsoft's PE/COFF).
// Pure: bytes in, bytes out.

/** Of the COFF header, behind "PE\0\0". */
const COFF = { sections: 2, optionalBytes: 16, bytes: 20 } as const;
/** Of the optional header of PE32+. */
const OPTIONAL = { initializedBytes: 8, sectionAlignment: 32, fileAlignment: 36, imageBytes: 56, headerBytes: 60, checksum: 64 } as const;
const PE32_PLUS = 0x20b;
const SECTION_BYTES = 40;
/** Initialized data, readable. */
const DATA = 0x40000040;

export interface Section {
  /** 8 characters at most, with the dot. */
  name: string;
  data: Buffer;
}

/** Adds the sections behind those of the program, in this order. Throws when it is no PE32+ or its header has no room left. */
export function addSections(program: Buffer, sections: readonly Section[]): Buffer {
  const coff = program.readUInt32LE(0x3c) + 4;
  const optional = coff + COFF.bytes;
  if (program.toString('latin1', coff - 4, coff) !== 'PE\0\0' || program.readUInt16LE(optional) !== PE32_PLUS)
    throw new Error('the EFI stub is not a PE32+ program');
  const present = program.readUInt16LE(coff + COFF.sections);
  const table = optional + program.readUInt16LE(coff + COFF.optionalBytes);
  const headerEnd = table + (present + sections.length) * SECTION_BYTES;
  if (headerEnd > program.readUInt32LE(optional + OPTIONAL.headerBytes))
    throw new Error(`the EFI stub's header has no room for ${sections.length} more sections`);
  const align = (value: number, field: number) => {
    const unit = program.readUInt32LE(optional + field);
    return Math.ceil(value / unit) * unit;
  };
  const last = table + (present - 1) * SECTION_BYTES;
  let address = align(program.readUInt32LE(last + 8) + program.readUInt32LE(last + 12), OPTIONAL.sectionAlignment);
  let offset = align(program.length, OPTIONAL.fileAlignment);
  const head = Buffer.from(program);
  const parts: Buffer[] = [head, Buffer.alloc(offset - program.length)];
  let added = 0;
  sections.forEach(({ name, data }, i) => {
    if (name.length > 8) throw new Error(`a section's name has 8 characters at most: ${name}`);
    const at = table + (present + i) * SECTION_BYTES;
    const rawBytes = align(data.length, OPTIONAL.fileAlignment);
    head.fill(0, at, at + SECTION_BYTES);
    head.write(name, at, 'latin1');
    for (const [field, value] of [
      [8, data.length],
      [12, address],
      [16, rawBytes],
      [20, offset],
      [36, DATA],
    ] as const)
      head.writeUInt32LE(value, at + field);
    parts.push(data, Buffer.alloc(rawBytes - data.length));
    address = align(address + data.length, OPTIONAL.sectionAlignment);
    offset += rawBytes;
    added += rawBytes;
  });
  head.writeUInt16LE(present + sections.length, coff + COFF.sections);
  head.writeUInt32LE(head.readUInt32LE(optional + OPTIONAL.initializedBytes) + added, optional + OPTIONAL.initializedBytes);
  head.writeUInt32LE(address, optional + OPTIONAL.imageBytes);
  // Firmware does not look at it, and a signature does not cover it.
  head.writeUInt32LE(0, optional + OPTIONAL.checksum);
  return Buffer.concat(parts);
}

/** The sections of a program, without what pads them: what a test or a person wants to see of one. */
export function readSections(program: Buffer): Section[] {
  const coff = program.readUInt32LE(0x3c) + 4;
  const table = coff + COFF.bytes + program.readUInt16LE(coff + COFF.optionalBytes);
  return Array.from({ length: program.readUInt16LE(coff + COFF.sections) }, (_, i) => {
    const at = table + i * SECTION_BYTES;
    const [bytes, rawBytes, offset] = [8, 16, 20].map((field) => program.readUInt32LE(at + field));
    const from = offset ?? 0;
    const name = program.toString('latin1', at, at + 8).replace(/\0+$/, '');
    return { name, data: program.subarray(from, from + Math.min(bytes ?? 0, rawBytes ?? 0)) };
  });
}
