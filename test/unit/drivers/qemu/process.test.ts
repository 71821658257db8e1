import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { describeExit, EngineProcess } from '../../../../drivers/qemu/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'engine-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const pidFile = join(directory, 'pid');
const logPath = join(directory, 'log');
const shell = (script: string) => EngineProcess.start({ command: ['sh', '-c'], args: [script], pidFile, logPath });

t.test('an engine that ends says how, with its last lines', async (t) => {
  const engine = await shell('echo first; echo "cannot do that" >&2; exit 3');
  const exit = await engine.exited;
  t.match(exit, { code: 3, signal: undefined });
  t.equal(describeExit(exit), 'exit code 3; its last lines: first | cannot do that');
  t.equal(existsSync(pidFile), false, 'no pid file is left');
});

t.test('kill', async (t) => {
  const engine = await shell('exec sleep 60');
  t.match(await engine.kill(), { code: undefined, signal: 'SIGKILL' });
  t.match(await engine.kill(), { signal: 'SIGKILL' }, 'twice does no harm');
});

t.test('adopted by its pid file, watched, killed', async (t) => {
  const started = await shell('exec sleep 60');
  const adopted = await EngineProcess.adopt(pidFile);
  t.equal(adopted?.pid, started.pid);
  t.match(await adopted?.kill(), { code: undefined, signal: undefined });
  await started.exited;
  t.equal(await EngineProcess.adopt(pidFile), undefined);
});

t.test('a pid that another program got since is not ours', async (t) => {
  const engine = await shell('exec sleep 60');
  const record = JSON.parse(readFileSync(pidFile, 'utf8')) as Record<string, unknown>;
  const other = join(directory, 'other');
  for (const change of [{ startTicks: '1' }, { bootId: 'an earlier boot' }, { pid: 2 ** 22 + 1 }]) {
    writeFileSync(other, JSON.stringify({ ...record, ...change }));
    t.equal(await EngineProcess.adopt(other), undefined, JSON.stringify(change));
    t.equal(existsSync(other), false, 'the stale file is gone');
  }
  t.equal(engine.exit, undefined, 'nobody was killed');
  await engine.kill();
});

t.test('wrong input', async (t) => {
  await t.rejects(EngineProcess.start({ command: ['/no/such/engine'], args: [], pidFile, logPath }), {
    name: 'EngineError',
    message: /cannot start \/no\/such\/engine: .*ENOENT/,
  });
  writeFileSync(pidFile, '4711');
  await t.rejects(EngineProcess.adopt(pidFile), { message: /is no pid file of ours/ });
});
