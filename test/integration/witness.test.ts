// The real witness process: killed in the middle of grants again and again, no generation is ever granted to both; many pairs at once;
// enrolled through the command line.
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { deriveKey } from '../../appliance/wire/keys.ts';
import { startWitnessProcess } from '../bench/witness-bench.ts';
import { enrol, newPair, stateFolder, type TestPair, Voice } from '../unit/appliance/witness/bench-pair.ts';

const MAIN = join(import.meta.dirname, '../../appliance/main.ts');
const KILLS = 6;
const PAIRS = 8;
const MANY = 300;
/** A CoServer that is frozen asks again after a while. */
const RETRY_MS = 25;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** A pair that is duplex at each generation, splits at once, and lets both claim; the loser rejoins. */
class SplittingPair {
  readonly #voices: Record<CoServerName, Voice>;
  /** Who ran each generation. */
  readonly owners = new Map<number, CoServerName>();
  both = 0;
  #generation = 1;

  constructor(port: number, pair: TestPair) {
    const report = { generation: 1, state: 'duplex' } as const;
    this.#voices = { A: new Voice(port, pair, 'A', report), B: new Voice(port, pair, 'B', report) };
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const generation = this.#generation;
      for (const name of ['A', 'B'] as const) this.#voices[name].client.setReport({ generation, state: 'duplex' });
      const granted = (await Promise.all((['A', 'B'] as const).map((name) => this.#ask(name, generation, isOver)))).filter(
        (n) => n !== null,
      );
      if (granted.length > 1) this.both++;
      const [owner] = granted;
      if (owner) {
        this.owners.set(generation + 1, owner);
        this.#generation++;
      }
    }
  }

  /** Until it is granted or refused, as a CoServer asks. */
  async #ask(name: CoServerName, generation: number, isOver: () => boolean): Promise<CoServerName | null> {
    const { client } = this.#voices[name];
    while (!isOver()) {
      client.setReport({ generation, state: 'other' });
      const answer = await client.claim(generation).catch(() => null);
      if (answer?.kind === 'granted') {
        client.setReport({ generation: generation + 1, state: 'simplex' });
        return name;
      }
      if (answer?.kind === 'refused') {
        client.setReport({ generation, state: 'stopped' });
        return null;
      }
      client.setReport({ generation, state: 'duplex' });
      await setTimeout(RETRY_MS);
    }
    return null;
  }

  close(): void {
    for (const voice of Object.values(this.#voices)) voice.client.close();
  }
}

t.test('killed in the middle of grants, it never grants a generation to both', async (t) => {
  const stateDir = stateFolder(t);
  const port = await freePort();
  const pairs = Array.from({ length: PAIRS }, newPair);
  for (const pair of pairs) enrol(stateDir, pair);
  let witness: ChildProcess = await startWitnessProcess(port, stateDir);
  const splitting = pairs.map((pair) => new SplittingPair(port, pair));
  t.teardown(() => {
    for (const s of splitting) s.close();
    witness.kill('SIGKILL');
  });
  const grants = () => splitting.reduce((sum, s) => sum + s.owners.size, 0);
  let isOver = false;
  const running = splitting.map((s) => s.run(() => isOver));
  for (let kill = 0; kill < KILLS; kill++) {
    const before = grants();
    // In the midst of it: some grants after the last kill.
    while (grants() < before + 3 * PAIRS) await setTimeout(RETRY_MS);
    const ended = once(witness, 'exit');
    witness.kill('SIGKILL');
    await ended;
    witness = await startWitnessProcess(port, stateDir);
  }
  const before = grants();
  while (grants() < before + PAIRS) await setTimeout(RETRY_MS);
  isOver = true;
  await Promise.all(running);
  t.equal(
    splitting.reduce((sum, s) => sum + s.both, 0),
    0,
    `${grants()} grants, ${KILLS} kills`,
  );
});

t.test('hundreds of pairs at once, each enrolled and heard', async (t) => {
  const stateDir = stateFolder(t);
  const port = await freePort();
  const pairs = Array.from({ length: MANY }, newPair);
  for (const pair of pairs) enrol(stateDir, pair);
  const witness = await startWitnessProcess(port, stateDir);
  const voices = pairs.map((pair) => [
    new Voice(port, pair, 'A', { generation: 3, state: 'duplex' }),
    new Voice(port, pair, 'B', { generation: 3, state: 'duplex' }),
  ]);
  t.teardown(() => {
    for (const voice of voices.flat()) voice.client.close();
    witness.kill('SIGKILL');
  });
  await Promise.all(voices.flat().map((v) => v.stands(3, null)));
  // In turns of a few: all at once is the benchmark's business.
  let granted = 0;
  for (const [a] of voices) if ((await a?.client.claim(3).catch(() => null))?.kind === 'granted') granted++;
  t.ok(granted > MANY / 2, `${granted} of ${MANY} granted`);
});

t.test('the command line', async (t) => {
  const directory = stateFolder(t);
  const state = join(directory, 'state');
  const twinstep = (args: string[], input = '') => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', MAIN, ...args], { input, encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };
  const { pairId, pairKey } = newPair();
  const key = deriveKey(pairKey, 'witness').toString('hex');
  const keyFile = join(directory, 'pair.key');
  const config = join(directory, 'config.yaml');
  const { coServerConfig, makeSecrets } = await import('../../hwqual/lab/configuration.ts');
  const secrets = { ...(await makeSecrets()), pairId, pairKey: pairKey.toString('hex') };
  const whole = coServerConfig(
    'A',
    secrets,
    {
      acceleration: 'tcg',
      append: '',
      mode: 'passive',
      idleMs: 1000,
      diskMiB: 1,
      rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
      watchdogS: 30,
    },
    { A: 1, B: 2 },
  );
  writeFileSync(config, JSON.stringify({ ...whole, pair: { id: pairId, keyFile } }));
  writeFileSync(keyFile, `${secrets.pairKey}\n`, { mode: 0o600 });
  const enrolment = twinstep(['witness-key', '--config', config]);
  t.equal(enrolment.status, 0);
  t.ok(enrolment.said.includes(key) && !enrolment.said.includes(secrets.pairKey), "the witness's key, never the pair's");
  t.match(twinstep(['witness', 'enrol', '--state', state], 'nonsense'), { status: 78, said: /this is no enrolment/ });
  t.match(twinstep(['witness', 'enrol', '--state', state], enrolment.said), {
    status: 0,
    said: /is enrolled; a running witness serves it at once/,
  });
  const listed = twinstep(['witness', 'list', '--state', state]);
  t.equal(listed.said, `${pairId}\n`, 'no keys are listed');
  t.match(twinstep(['witness', '--listen', 'nowhere', '--state', state]), { status: 78, said: /address:port is needed/ });
  t.match(
    twinstep(['witness', '--listen', '203.0.113.1:7410', '--state', state]),
    { status: 78, said: /cannot start .*203\.0\.113\.1/ },
    'it ends',
  );
  t.match(twinstep(['witness', 'remove', pairId, '--state', state]), { status: 0 });
  t.equal(twinstep(['witness', 'list', '--state', state]).said, '');
});
