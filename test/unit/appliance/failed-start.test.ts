// A start that fails after the threads were started ends the process: a CoServer that only looks as if it ran would never be started again.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { coServerConfig, makeSecrets } from '../../../hwqual/lab/configuration.ts';

const MAIN = join(import.meta.dirname, '../../../appliance/main.ts');

t.test('a business network that is not there: the reason, and the end', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'failed-start-'));
  const secrets = await makeSecrets();
  const workload = {
    acceleration: 'tcg',
    append: '',
    mode: 'lockstep',
    idleMs: 1000,
    diskMiB: 64,
    rejoin: { losses: 1000, windowMinutes: 60, quarantineMinutes: 120 },
    watchdogS: 60,
  } as const;
  const base = coServerConfig('A', secrets, workload, { A: 1, B: 2 });
  const file = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const config = {
    ...base,
    pair: { ...base.pair, keyFile: file('pair.key', `${secrets.pairKey}\n`) },
    // Nothing of it is on this machine: what listens there cannot.
    links: base.links.map((link, i) => ({ ...link, nic: `no-link${i}` })),
    business: { nic: 'no-business' },
    management: { ...base.management, nic: 'no-management' },
    fence: { ...base.fence, passwordFile: file('bmc.password', 'only-for-tests\n') },
    console: { ...base.console, socket: join(folder, 'console.sock'), serial: '' },
    stateDir: join(folder, 'state'),
    runDir: join(folder, 'run'),
    labSocket: '',
    engine: { ...base.engine, logDir: folder },
    workload: { ...base.workload, disk: { ...base.workload.disk, path: join(folder, 'disk0') } },
  };
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'run', '--config', file('config.yaml', stringify(config))], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
  // One that goes on fails here, not at the limit of all tests.
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(60_000) });
  t.match(said, /fatal: /);
  t.ok(typeof code === 'number' && code !== 0, `code ${code}`);
});
