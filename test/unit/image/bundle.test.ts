// The bundle in a folder of its own, away from node_modules: native addons must load in the main thread and in a worker.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildBundle } from '../../../image/bundle/build.ts';

const ROOT = join(import.meta.dirname, '../../..');
const ENTRY = `
import { createRequire } from 'node:module';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { hashSync } from '@node-rs/argon2';
import { SerialPort } from 'serialport';
import raw from 'raw-socket';
const own = createRequire(import.meta.url)('./build/own.node');
console.log(isMainThread ? 'main' : workerData.role, typeof own.SocketWrap, typeof raw.createSocket, typeof SerialPort, hashSync('x').slice(0, 9));
if (isMainThread) new Worker(new URL(import.meta.url), { workerData: { role: 'gate' } });
`;

function sourceFolder(): string {
  const source = mkdtempSync(join(tmpdir(), 'su-bundle-'));
  t.teardown(() => rmSync(source, { recursive: true, force: true }));
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'));
  mkdirSync(join(source, 'build'));
  // Any addon will do as one of ours: the way it is found is what matters.
  cpSync(join(ROOT, 'node_modules/raw-socket/build/Release/raw.node'), join(source, 'build/own.node'));
  writeFileSync(join(source, 'main.ts'), ENTRY);
  return source;
}

function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    names.map((e) => [join(e.parentPath, e.name).slice(folder.length), readFileSync(join(e.parentPath, e.name), 'latin1')]),
  );
}

t.test('the bundle runs anywhere, addons and workers included, and is the same when built again', async (t) => {
  const source = sourceFolder();
  const build = (name: string) =>
    buildBundle({ entry: join(source, 'main.ts'), web: join(source, 'no-web'), outDirectory: join(source, name) });
  t.ok((await build('out')).made);
  t.notOk((await build('out')).made, 'not built twice from the same sources');
  await build('again');
  t.strictSame(contents(join(source, 'again')), contents(join(source, 'out')), 'the same bytes');
  t.strictSame(
    readdirSync(join(source, 'out/native'))
      .map((name) => name.replace(/-[0-9a-f]{12}\.node$/, ''))
      .sort(),
    ['_serialport_bindings-cpp.glibc', 'argon2.linux-x64-gnu', 'own', 'raw'],
  );

  const elsewhere = mkdtempSync(join(tmpdir(), 'su-elsewhere-'));
  t.teardown(() => rmSync(elsewhere, { recursive: true, force: true }));
  renameSync(join(source, 'out'), join(elsewhere, 'moved'));
  const said = execFileSync(process.execPath, ['--no-warnings', join(elsewhere, 'moved/twinstep.mjs')], {
    cwd: '/',
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.strictSame(
    said.trim().split('\n'),
    ['main', 'gate'].map((role) => `${role} function function function $argon2id`),
  );
});

t.test('an addon that is not built is named, and what was there stays', async (t) => {
  const source = sourceFolder();
  const options = { entry: join(source, 'main.ts'), web: join(source, 'no-web'), outDirectory: join(source, 'out') };
  await buildBundle(options);
  const before = contents(options.outDirectory);
  rmSync(join(source, 'build/own.node'));
  writeFileSync(join(source, 'main.ts'), `${ENTRY}// changed`);
  await t.rejects(buildBundle(options), { message: /wants \.\/build\/own\.node, which is not built/ });
  t.strictSame(contents(options.outDirectory), before);
  t.strictSame(readdirSync(source).sort(), ['build', 'main.ts', 'node_modules', 'out'], 'nothing half built is left');
});

t.test("addons of another compiler are taken in the place of this machine's", async (t) => {
  const source = sourceFolder();
  const addons = join(source, 'other');
  const place = 'node_modules/raw-socket/build/Release';
  mkdirSync(join(addons, place), { recursive: true });
  writeFileSync(join(addons, place, 'raw.node'), 'made elsewhere');
  const options = { entry: join(source, 'main.ts'), web: join(source, 'no-web'), outDirectory: join(source, 'out') };
  await buildBundle(options);
  t.ok((await buildBundle({ ...options, addons })).made, 'that is another bundle');
  const native = Object.entries(contents(join(options.outDirectory, 'native'))).filter(([name]) => /^\/(raw|own)-/.test(name));
  t.equal(native.length, 2, 'and the one that is not there stays as it was');
  t.equal(native.find(([name]) => name.startsWith('/raw-'))?.[1], 'made elsewhere');
  t.not(native.find(([name]) => name.startsWith('/own-'))?.[1], 'made elsewhere');
});

t.test('the product says nothing of the folder it was built in: the image is the same from any', async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'su-product-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const { program } = await buildBundle({ outDirectory: join(out, 'dist') });
  const lines = readFileSync(program, 'utf8').split('\n');
  t.strictSame(
    lines.filter((line) => line.includes(`${ROOT}/`)),
    [],
  );
});
