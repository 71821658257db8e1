// An update of what `npm run image` made: program and slot that belong together, the manifest that says what they are, the signature over it.
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { encodeHead, isVersion, type Manifest } from '../../appliance/update/format.ts';
import { readSections } from '../disk/uki.ts';
import { BLOCK_BYTES, hashTree } from '../disk/verity.ts';

export interface UpdateParts {
  version: string;
  /** Of QEMU, as its package has it: `11.1.3`. */
  engine: string;
  minimumFrom: string;
  program: Buffer;
  slot: Buffer;
}

/** Throws when the two are not of this version, or not of each other: nothing wrong is ever signed. */
export function manifestFor({ version, engine, minimumFrom, program, slot }: UpdateParts): Manifest {
  for (const v of [version, minimumFrom]) if (!isVersion(v)) throw new Error(`'${v}' is no version: three numbers, as in 1.2.0`);
  const sections = new Map(readSections(program).map(({ name, data }) => [name, data.toString('utf8').replace(/\0+$/, '')]));
  const line = sections.get('.cmdline') ?? '';
  const word = (name: string) => new RegExp(`(?:^|\\s)twinstep\\.${name}=(\\S+)`).exec(line)?.[1] ?? '';
  if (word('version') !== version) throw new Error(`the program of the boot is of version '${word('version')}', not ${version}`);
  // By this one the boot loader puts versions in order.
  if (!(sections.get('.osrel') ?? '').split('\n').includes(`VERSION_ID=${version}`))
    throw new Error(`the program of the boot does not tell the boot loader that it is ${version}`);
  const data = slot.subarray(0, Number(word('blocks')) * BLOCK_BYTES);
  const { rootHash, tree } = hashTree(data, word('salt'));
  if (rootHash !== word('hash') || !tree.equals(slot.subarray(data.length)))
    throw new Error('the slot is not the one that the program of the boot vouches for: build the image anew');
  return { version, engine, minimumFrom, program: contentOf(program), slot: contentOf(slot) };
}

export function signManifest(manifest: Buffer, key: KeyObject): Buffer {
  return sign(null, manifest, key);
}

/** Writes the update, whole or not at all. `publicKey`: the signature is tried with it before. */
export function writeUpdate(
  path: string,
  parts: { manifest: Buffer; signature: Buffer; publicKey: KeyObject | string; program: Buffer; slot: Buffer },
): void {
  const { manifest, signature, publicKey, program, slot } = parts;
  const key = typeof publicKey === 'string' ? createPublicKey(publicKey) : publicKey;
  if (!verify(null, manifest, key, signature)) throw new Error('the signature is not one of this manifest by this key');
  const fd = openSync(`${path}.new`, 'w');
  try {
    for (const data of [encodeHead(manifest, signature), program, slot])
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}

function contentOf(data: Buffer): Manifest['slot'] {
  return { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
}
