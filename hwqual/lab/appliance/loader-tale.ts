// Firmware and boot loader alone, with the appliance's own code on the disk between their runs: do they read the EFI system partition that it wrote, count
// as it expects, and does it read what they wrote? The programs of the boot are the real kernel without anything to run: it names its version, and
// the machine starts again. So four starts take as long as one of the product.
import { createHash, type createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeHead, encodeManifest } from '../../../appliance/update/format.ts';
import { UpdateStore } from '../../../appliance/update/index.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { diskLayout } from '../../../image/disk/layout.ts';
import { addSections, readSections } from '../../../image/disk/uki.ts';
import { LabError } from '../lab-error.ts';
import { partitionStore } from './partition-store.ts';
import type { Stage } from './stage.ts';

const PATIENCE_S = 3000;
/** Notices, for the command line; a kernel without a root panics and starts again at once. */
const WORDS = 'console=ttyS0 loglevel=6 panic=-1';
const SLOT_BYTES = 1 << 20;

export async function loaderTale(stage: Stage): Promise<void> {
  const { tools, say } = stage;
  const kernel = readSections(stage.built.program).find(({ name }) => name === '.linux')?.data;
  if (kernel === undefined) throw new LabError("the image's program has no kernel");
  const stub = readFileSync(join(tools, 'usr/lib/systemd/boot/efi/linuxx64.efi.stub'));
  const program = (version: string) =>
    addSections(stub, [
      { name: '.osrel', data: Buffer.from(`ID=twinstep\nPRETTY_NAME="Twinstep ${version}"\nVERSION_ID=${version}\n`) },
      { name: '.cmdline', data: Buffer.from(`${WORDS} twinstep.version=${version}`) },
      { name: '.linux', data: kernel },
    ]);
  const where = stage.disk({ files: espFiles(tools, [{ version: '1.0.0', program: program('1.0.0') }]), slots: {} });
  const keys = generateKeyPairSync('ed25519');
  const store = (version: string, slot: 'a' | 'b') => storeOn(where, version, slot, keys.publicKey);
  const update = (version: string) => {
    const content = (data: Buffer) => ({ bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') });
    const [efi, slot] = [program(version), Buffer.alloc(SLOT_BYTES, version)];
    const manifest = encodeManifest({ version, engine: '11.1.3', minimumFrom: '0.0.0', program: content(efi), slot: content(slot) });
    return [encodeHead(manifest, sign(null, manifest, keys.privateKey)), efi, slot];
  };
  const install = async (by: UpdateStore, version: string, force = false) => {
    await by.receive(stream(update(version)), { force });
    await by.activate();
  };
  const says = (versions: readonly string[]) =>
    new RegExp(versions.map((v) => `Kernel command line: .*twinstep\\.version=${v.replaceAll('.', '\\.')}\\b`).join('[\\s\\S]*'));
  /** Starts until these versions were started, one after the other, and no other one between. */
  const starts = async (versions: readonly string[]) => {
    await stage.boot(where, {}, async (machine) => {
      for (let i = 1; i <= versions.length; i++) {
        const s = await machine.until(says(versions.slice(0, i)), PATIENCE_S);
        say(`  ${s.toFixed(1)} s  version ${versions[i - 1]} was started`);
      }
      const all = [...machine.serial().matchAll(/Kernel command line: .*twinstep\.version=(\S+)/g)].map((m) => m[1] ?? '');
      must(all.slice(0, versions.length).join() === versions.join(), `${versions} were started: ${all}`);
    });
  };

  say('version 1.0.0 runs, 1.1.0 is installed, and never becomes healthy: three starts, then the boot loader is back on 1.0.0');
  await install(store('1.0.0', 'a'), '1.1.0');
  await starts(['1.1.0', '1.1.0', '1.1.0', '1.0.0']);
  const status = await store('1.0.0', 'a').status();
  must(status.next === '1.0.0' && status.other?.isUsable === false && /3 times/.test(status.other.text), JSON.stringify(status));
  say(`           ${status.other?.version}: ${status.other?.text}`);

  say('version 1.2.0 is installed, found healthy after its first start, and stays');
  await install(store('1.0.0', 'a'), '1.2.0');
  await starts(['1.2.0']);
  must((await store('1.2.0', 'b').status()).trial?.triesLeft === 2, 'it is on trial, and two starts are left');
  must(await store('1.2.0', 'b').markHealthy(), 'it was on trial');
  await starts(['1.2.0', '1.2.0']);

  say('back to 1.0.0, although 1.2.0 is newer and good');
  await store('1.2.0', 'b').rollback();
  await starts(['1.0.0', '1.0.0']);

  say('an older version, by force, that never becomes healthy: back on the newer one');
  await install(store('1.0.0', 'a'), '0.9.0', true);
  await starts(['0.9.0', '0.9.0', '0.9.0', '1.0.0']);
}

function storeOn(
  { disk, directory }: { disk: string; directory: string },
  version: string,
  slot: 'a' | 'b',
  key: ReturnType<typeof createPublicKey>,
): UpdateStore {
  const { esp, slots } = diskLayout();
  const partitions = { esp, a: slots.a, b: slots.b };
  const device = (path: keyof typeof partitions) => ({ path, bytes: partitions[path].sectors * 512 });
  const place = {
    version,
    slot,
    slots: { a: device('a'), b: device('b') },
    esp: device('esp'),
    keys: [key],
    recordFile: join(directory, 'update.json'),
    lockFile: join(directory, 'update.lock'),
  };
  return new UpdateStore(place, ({ path }) => partitionStore(disk, partitions[path as keyof typeof partitions]));
}

async function* stream(parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const part of parts) for (let at = 0; at < part.length; at += 1 << 20) yield part.subarray(at, at + (1 << 20));
}

function must(is: boolean, what: string): void {
  if (!is) throw new LabError(`not so: ${what}`);
}
