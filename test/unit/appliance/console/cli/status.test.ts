import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runStatus } from '../../../../../appliance/console/cli/status.ts';
import { harness } from '../api/harness.ts';
import { takeoverJustHappened } from '../fixtures.ts';
import { lockstep, unfit } from '../lockstep-fixtures.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

function sink() {
  let text = '';
  let waiting: { test: (text: string) => boolean; resolve: () => void }[] = [];
  return {
    write: (chunk: string) => {
      text += chunk;
      waiting = waiting.filter((w) => {
        if (!w.test(text)) return true;
        w.resolve();
        return false;
      });
    },
    text: () => text,
    shows: (wanted: string) =>
      new Promise<void>((resolve) => (text.includes(wanted) ? resolve() : waiting.push({ test: (all) => all.includes(wanted), resolve }))),
  };
}

async function run(...argv: string[]) {
  const [stdout, stderr] = [sink(), sink()];
  const code = await runStatus(argv, { stdout, stderr });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

t.test('text for people, JSON for scripts', async (t) => {
  const h = await harness({ first: takeoverJustHappened() });
  t.teardown(() => h.close());
  const text = await run('--socket', h.socketPath);
  t.equal(text.code, 0);
  t.match(text.stdout, '[!!] SIMPLEX  B runs alone');
  t.match(text.stdout, /Latest events \(what was known: --history\)\n2025-11-20 UTC\n\[!!\] 23:46:58\.000 B {2}Simplex/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: there must be none
  t.notMatch(text.stdout, /\u001b/, 'no terminal codes');
  const history = await run('--history', '--socket', h.socketPath);
  t.match(
    history.stdout,
    /Situation: row 5: partner silent on every path[\s\S]*What was known:\n +cause: witness: granted\n +record: generation 7/,
  );
  const json = await run('--json', '--socket', h.socketPath);
  t.strictSame(JSON.parse(json.stdout), JSON.parse(JSON.stringify(takeoverJustHappened())));
});

t.test('mode, audit and incidents; what was seen on demand', async (t) => {
  const h = await harness({ first: unfit() });
  t.teardown(() => h.close());
  const { stdout } = await run('--socket', h.socketPath);
  t.match(stdout, /SIMPLEX {2}not protected: the replica on B is unfit/);
  t.match(stdout, /Mode: passive[\s\S]*Audit: broken[\s\S]*the replicas said different bytes +0\.3 +96/);
  t.match(stdout, /Incidents \(what was seen: --incidents\)\n\[!!\] 2025-11-20 23:45:36 B {2}memory differs/);
  t.notMatch(stdout, /different at interval 18107/);
  t.match((await run('--incidents', '--socket', h.socketPath)).stdout, /different at interval 18107[\s\S]*answer missing/);
  h.set(lockstep());
  t.equal((await run('--incidents', '--socket', h.socketPath)).stdout, 'No replica was found broken so far.\n');
});

t.test('--watch shows each change and survives the process', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const [stdout, stderr] = [sink(), sink()];
  const abort = new AbortController();
  const watching = runStatus(['--watch', '--json', '--socket', h.socketPath], { stdout, stderr, signal: abort.signal });
  await stdout.shows('"redundancy":"duplex"');
  h.set(takeoverJustHappened());
  await stdout.shows('"redundancy":"simplex"');
  t.ok(
    stdout
      .text()
      .trimEnd()
      .split('\n')
      .every((line) => typeof JSON.parse(line) === 'object'),
    'one JSON text per line',
  );
  await h.server.close();
  await stderr.shows('Trying again.');
  abort.abort();
  t.equal(await watching, 0);
});

t.test('errors name the remedy', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'co-cli-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const missing = await run('--socket', join(directory, 'none.sock'));
  t.equal(missing.code, 3);
  t.match(missing.stderr, /^twinstep status: twinstep does not run here: there is no .*none\.sock\. Start it, or name its socket/);
  await writeFile(join(directory, 'file'), '');
  t.match((await run('--socket', join(directory, 'file'))).stderr, /nobody answers|not a socket/);
  t.equal((await run('--wrong')).code, 2);
  t.match((await run('--wrong')).stderr, /unknown option '--wrong'/);
  t.equal((await run('extra')).code, 2);
  const help = await run('--help');
  t.equal(help.code, 0);
  t.match(help.stdout, /--watch/);

  const odd = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'));
  const oddPath = join(directory, 'odd.sock');
  await new Promise<void>((resolve) => odd.listen(oddPath, resolve));
  t.teardown(() => odd.close());
  await chmod(oddPath, 0o600);
  t.match((await run('--socket', oddPath)).stderr, /not with a picture of a pair/);
});
