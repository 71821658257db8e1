// Looks at the disks of this server: what they are, what is on them, whether somebody has them. Nothing is written.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { HEADER_BYTES, headerVersion, readHeaderStart } from '../../appliance/update/header-version.ts';
import { readStateVersion, STATE_VERSION_FILE } from '../../appliance/update/state-version.ts';
import { readInventory } from '../../drivers/inventory/index.ts';
import { decodeGpt, type Partition } from '../disk/gpt.ts';
import { PARTITION_NAMES, STATE_PARTITION } from '../disk/layout.ts';
import { type DiskContent, type DiskFacts, isTwinstep, type TwinstepContent } from './disk-choice.ts';
import { MIB } from './medium-layout.ts';

/** CD-ROMs, and what is no disk of its own. */
const NO_DISK = /^(sr|loop|ram|zram|fd|nbd|dm-|md|mtdblock)\d|boot\d$/;
const MAX_CONFIGURATION_BYTES = 64 << 10;
/** LUKS2 On-Disk Format, 2.1. */
const LUKS_MAGIC = Buffer.from('LUKS\xba\xbe', 'latin1');
const run = promisify(execFile);

export async function findDisks(): Promise<DiskFacts[]> {
  const { disks } = await readInventory();
  const found: DiskFacts[] = [];
  for (const { name, model, serial, sizeBytes, logicalBlockBytes } of disks) {
    // A drive without a medium has no size.
    if (NO_DISK.test(basename(name)) || !sizeBytes) continue;
    const readOnly = await readFile(join('/sys/block', basename(name), 'ro'), 'latin1').catch(() => '0');
    const facts = { device: name, model: model ?? '', serial: serial ?? '', bytes: sizeBytes, logicalBlockBytes: logicalBlockBytes ?? 512 };
    found.push({ ...facts, writeProtected: readOnly.trim() === '1', inUse: await whoHas(name), content: await contentOf(name) });
  }
  return found;
}

/** The kernel gives a block device to one exclusive user: a file system, a mapping, a swap. */
async function whoHas(device: string): Promise<string | null> {
  try {
    await (await open(device, constants.O_RDONLY | constants.O_EXCL)).close();
    return null;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    return code === 'EBUSY' ? 'a file system or a mapping of the kernel' : code === 'ENOMEDIUM' ? 'it has no medium' : null;
  }
}

export async function contentOf(device: string): Promise<DiskContent> {
  const head = Buffer.alloc(MIB);
  try {
    const file = await open(device, constants.O_RDONLY);
    try {
      const { bytesRead } = await file.read(head, 0, MIB, 0);
      if (bytesRead < MIB) return { kind: 'unreadable', why: `it ends after ${bytesRead} bytes` };
    } finally {
      await file.close();
    }
  } catch (error) {
    return { kind: 'unreadable', why: (error as Error).message };
  }
  const content = contentOfHead(head);
  if (content.kind !== 'partitions' || !isTwinstep(content.partitions)) return content;
  return { ...content, twinstep: await twinstepOf(device, content.partitions) };
}

/** By the first MiB. */
export function contentOfHead(head: Buffer): DiskContent {
  if (head.toString('latin1', 512, 520) === 'EFI PART') {
    try {
      return { kind: 'partitions', partitions: decodeGpt(head).partitions, twinstep: null };
    } catch (error) {
      return { kind: 'other', what: (error as Error).message };
    }
  }
  if (head.readUInt16LE(1024 + 56) === 0xef53) return { kind: 'other', what: 'a file system (ext) over all of the disk' };
  if (head.toString('latin1', 0, 4) === 'XFSB') return { kind: 'other', what: 'a file system (xfs) over all of the disk' };
  if (head.toString('latin1', 0, 4) === 'LUKS') return { kind: 'other', what: 'encrypted data (LUKS)' };
  if (head.toString('latin1', 512, 520) === 'LABELONE') return { kind: 'other', what: 'a physical volume (LVM)' };
  if (head.readUInt16LE(510) === 0xaa55) return { kind: 'other', what: 'partitions of the old kind (MBR)' };
  return head.every((byte) => byte === 0) ? { kind: 'blank' } : { kind: 'other', what: 'data of a kind that is not known here' };
}

/** `/dev/sda` and `/dev/nvme0n1`: the kernel puts a p between digits. */
export function partitionDevice(device: string, number: number): string {
  return /\d$/.test(device) ? `${device}p${number}` : `${device}${number}`;
}

async function twinstepOf(device: string, partitions: readonly Partition[]): Promise<TwinstepContent> {
  const place = (name: string) => {
    const index = partitions.findIndex((p) => p.name === name);
    return index < 0 ? null : partitionDevice(device, index + 1);
  };
  const [esp, state] = [place(PARTITION_NAMES.esp), place(STATE_PARTITION)];
  const versions =
    esp === null
      ? null
      : await lookInto(esp, ['-t', 'vfat', '-o', 'ro'], async (folder) => versionsIn(await readdir(join(folder, 'EFI/Linux'))));
  if (state === null) return { versions: versions ?? [], stateVersion: null, state: { kind: 'none' } };
  // Nothing of it but its header can be read without the server's own TPM.
  const start = await readHeaderStart(state).catch(() => Buffer.alloc(HEADER_BYTES));
  if (start.subarray(0, LUKS_MAGIC.length).equals(LUKS_MAGIC))
    return { versions: versions ?? [], stateVersion: headerVersion(start), state: { kind: 'encrypted' } };
  const found = await lookInto(state, ['-t', 'ext4', '-o', 'ro,noload'], async (folder) => ({
    configuration: await configurationIn(join(folder, 'config.yaml')),
    stateVersion: readStateVersion(join(folder, STATE_VERSION_FILE)),
  }));
  return {
    versions: versions ?? [],
    stateVersion: found?.stateVersion ?? null,
    state: found === null ? { kind: 'unreadable' } : stateOf(found.configuration),
  };
}

/** Names of programs of the boot, with or without a count of tries. */
export function versionsIn(names: readonly string[]): string[] {
  const versions = names.flatMap((name) => /^twinstep_(\d+\.\d+\.\d+)(?:\+\d+(?:-\d+)?)?\.efi$/i.exec(name)?.[1] ?? []);
  return [...new Set(versions)].sort();
}

async function configurationIn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.slice(0, MAX_CONFIGURATION_BYTES);
}

export function stateOf(configuration: string): TwinstepContent['state'] {
  if (configuration === '') return { kind: 'unconfigured' };
  try {
    const value: unknown = parse(configuration);
    const { coServer, pair } = value as { coServer?: unknown; pair?: { id?: unknown } };
    if (typeof pair?.id === 'string' && /^[0-9a-f]{32}$/.test(pair.id) && (coServer === 'A' || coServer === 'B'))
      return { kind: 'pair', pairId: pair.id, coServer };
  } catch {
    // As below.
  }
  return { kind: 'unreadable' };
}

/** Null: the file system cannot be mounted, or not be read. */
async function lookInto<T>(device: string, how: readonly string[], look: (folder: string) => Promise<T>): Promise<T | null> {
  const folder = await mkdtemp(join(tmpdir(), 'twinstep-look-'));
  try {
    await run('mount', [...how, device, folder]);
    try {
      return await look(folder);
    } finally {
      await run('umount', [folder]);
    }
  } catch {
    return null;
  } finally {
    await rmdir(folder);
  }
}
