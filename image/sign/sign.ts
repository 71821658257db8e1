// `npm run image:sign`: makes the keys, and of a built image the update that servers take. The ceremony is in the README.
import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { encodeManifest } from '../../appliance/update/format.ts';
import { lockedPackages } from '../disk/base-root.ts';
import { isEncrypted, makeKey, readPrivateKey, readPublicKey } from './keys.ts';
import { manifestFor, signManifest, writeUpdate } from './pack.ts';

const ROOT = join(import.meta.dirname, '../..');
const USAGE = `usage: npm run image:sign -- --new-key NAME                   makes NAME.key (private, with a passphrase) and NAME.pub
       npm run image:sign -- --key FILE                       signs what npm run image made: twinstep-VERSION.update
       npm run image:sign -- --manifest                       writes twinstep-VERSION.manifest, to be signed on another machine
       npm run image:sign -- --signature FILE --public FILE   makes the update with that signature
also:  --image DIRECTORY (dist.image), --version VERSION (package.json's), --minimum-from VERSION (0.0.0), --passphrase-file FILE`;

interface Asked {
  image: string;
  version: string;
  minimumFrom: string;
}

async function main(args: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      'new-key': text,
      key: text,
      manifest: { type: 'boolean' },
      signature: text,
      public: text,
      image: text,
      version: text,
      'minimum-from': text,
      'passphrase-file': text,
    },
  });
  const asked: Asked = {
    image: values.image ?? join(ROOT, 'dist.image'),
    version: values.version ?? (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version,
    minimumFrom: values['minimum-from'] ?? '0.0.0',
  };
  const passphrase = (twice: boolean) => askPassphrase(values['passphrase-file'], twice);
  if (values['new-key'] !== undefined) {
    const { privateFile, publicFile } = makeKey(values['new-key'], await passphrase(true));
    console.log(`${privateFile}: keep it offline, twice. ${publicFile}: npm run image -- --update-key ${publicFile}`);
  } else if (values.key !== undefined) {
    const key = readPrivateKey(values.key, isEncrypted(values.key) ? await passphrase(false) : null);
    makeUpdate(asked, (manifest) => ({ signature: signManifest(manifest, key), publicKey: createPublicKey(key) }));
  } else if (values.manifest) {
    const file = join(asked.image, `twinstep-${asked.version}.manifest`);
    writeFileSync(file, manifestOf(asked).manifest);
    console.log(`${file}: on the machine with the key: openssl pkeyutl -sign -rawin -inkey NAME.key -in ${file} -out signature`);
  } else if (values.signature !== undefined && values.public !== undefined) {
    const signature = readFileSync(values.signature);
    const publicKey = createPublicKey(readPublicKey(values.public));
    makeUpdate(asked, () => ({ signature, publicKey }));
  } else throw new Error(USAGE);
}

function manifestOf({ image, version, minimumFrom }: Asked) {
  const file = (ending: string): Buffer => {
    const path = join(image, `twinstep-${version}.${ending}`);
    if (!existsSync(path)) throw new Error(`there is no ${path}: build it first (npm run image)`);
    return readFileSync(path);
  };
  const parts = { program: file('efi'), slot: file('slot') };
  const manifest = encodeManifest(manifestFor({ version, engine: engineVersion(), minimumFrom, ...parts }));
  return { ...parts, manifest };
}

function makeUpdate(asked: Asked, sign: (manifest: Buffer) => Pick<Parameters<typeof writeUpdate>[1], 'signature' | 'publicKey'>): void {
  const parts = manifestOf(asked);
  const path = join(asked.image, `twinstep-${asked.version}.update`);
  writeUpdate(path, { ...parts, ...sign(parts.manifest) });
  console.log(`${path}: ${(statSync(path).size / (1 << 20)).toFixed(1)} MiB`);
}

/** Of QEMU in the image: `1:11.1.3+ds-1~bpo13+1` is 11.1.3. */
export function engineVersion(): string {
  const debian = lockedPackages().find((p) => p.name === 'qemu-system-x86')?.version ?? '';
  const version = /^(?:\d+:)?(\d+(?:\.\d+)+)/.exec(debian)?.[1];
  if (version === undefined) throw new Error('packages.lock names no qemu-system-x86');
  return version;
}

/** Typed unseen on a terminal; a line of standard input otherwise. */
async function askPassphrase(file: string | undefined, twice: boolean): Promise<string> {
  if (file !== undefined) return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  const ask = async (prompt: string): Promise<string> => {
    process.stderr.write(prompt);
    const lines = createInterface({ input: process.stdin, terminal: process.stdin.isTTY });
    // With a terminal and no output nothing is echoed.
    const line = await new Promise<string>((resolve) => {
      lines.once('line', resolve);
      lines.once('close', () => resolve(''));
    });
    lines.close();
    process.stderr.write('\n');
    return line;
  };
  const first = await ask('Passphrase of the key: ');
  if (twice && process.stdin.isTTY && (await ask('Once more: ')) !== first) throw new Error('the two passphrases differ');
  return first;
}

if (import.meta.main) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
