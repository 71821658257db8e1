// Takes the uncompressed kernel (an ELF file) out of a bzImage. QEMU starts it through its PVH entry: the guest then does not
// decompress 60 MB under emulation, which would be the longest part of its boot.
// Layout: the Linux x86 boot protocol (Documentation/arch/x86/boot.rst): setup_sects at 0x1f1, "HdrS" at 0x202,
// payload_offset at 0x248 and payload_length at 0x24c, both relative to the end of the setup sectors.
import { zstdDecompressSync } from 'node:zlib';

const ZSTD_MAGIC = 0xfd2fb528;
const ELF_MAGIC = 0x464c457f;
/** Longest kernel accepted, against a damaged length: today's are 60 to 80 MB. */
const MAX_KERNEL_BYTES = 512 * 1024 * 1024;

/** The ELF kernel inside; null when this image is packed in another way (the bzImage itself still boots). */
export function elfKernel(bzImage: Buffer): Buffer | null {
  if (bzImage.length < 0x250 || bzImage.toString('latin1', 0x202, 0x206) !== 'HdrS')
    throw new Error('not a Linux kernel: no "HdrS" at 0x202');
  const setupSectors = bzImage.readUInt8(0x1f1) === 0 ? 4 : bzImage.readUInt8(0x1f1);
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248);
  const length = bzImage.readUInt32LE(0x24c);
  if (length < 8 || start + length > bzImage.length)
    throw new Error(`damaged Linux kernel: payload of ${length} bytes at ${start} is outside the file`);
  if (bzImage.readUInt32LE(start) !== ZSTD_MAGIC) return null;
  // The payload's last four bytes are its length once unpacked, not part of the zstd frame.
  const unpackedBytes = bzImage.readUInt32LE(start + length - 4);
  const elf = zstdDecompressSync(bzImage.subarray(start, start + length - 4), { maxOutputLength: MAX_KERNEL_BYTES });
  if (elf.length < 4 || elf.readUInt32LE(0) !== ELF_MAGIC) return null;
  // Relocations follow the ELF file when the kernel can move itself: the PVH entry does not use them.
  return elf.length > unpackedBytes ? elf.subarray(0, unpackedBytes) : elf;
}
