// Writes a cpio archive in the "newc" format (magic 070701), as the Linux kernel unpacks an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). Pure: entries in, bytes out; same entries, same bytes.
//
// One entry: 110 bytes of header (magic and 13 fields of 8 hex digits), the name with its NUL, padding to 4, the data,
// padding to 4. The archive ends with an entry named TRAILER!!!.

export type CpioEntry =
  | { kind: 'file'; path: string; mode: number; data: Uint8Array }
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'symlink'; path: string; target: string }
  | { kind: 'character'; path: string; mode: number; major: number; minor: number };

const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, character: 0o020000 } as const;

function modeOf(entry: CpioEntry): number {
  return TYPE_BITS[entry.kind] | (entry.kind === 'symlink' ? 0o777 : entry.mode);
}

function dataOf(entry: CpioEntry): Uint8Array {
  switch (entry.kind) {
    case 'file':
      return entry.data;
    case 'symlink':
      return Buffer.from(entry.target);
    case 'directory':
    case 'character':
      return new Uint8Array(0);
    default: {
      const unknown: never = entry;
      throw new Error(`unknown cpio entry ${JSON.stringify(unknown)}`);
    }
  }
}

function pad(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}

function record(inode: number, mode: number, links: number, device: [number, number], path: string, data: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, device[0], device[1], name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, pad(header.length + name.length), data, pad(data.length)];
}

/** The archive's bytes, uncompressed. A directory must come before what is in it. Paths are relative: "bin/busybox". */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    if (entry.path === '' || entry.path.startsWith('/')) throw new Error(`cpio path "${entry.path}" must be relative and not empty`);
    const device: [number, number] = entry.kind === 'character' ? [entry.major, entry.minor] : [0, 0];
    parts.push(...record(index + 1, modeOf(entry), entry.kind === 'directory' ? 2 : 1, device, entry.path, dataOf(entry)));
  });
  parts.push(...record(0, 0, 1, [0, 0], 'TRAILER!!!', new Uint8Array(0)));
  return Buffer.concat(parts);
}
