// Two CoServers as processes in two network namespaces pair over two cables; somebody stands in between; somebody dies at a bad moment.
// Needs root.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { stringify } from 'yaml';
import { LinkPort } from '../../appliance/pairing/link-port.ts';
import { TICK_MS } from '../../appliance/pairing/protocol.ts';
import { PacketSocket, unpackFrames } from '../../drivers/ethernet/index.ts';
import { coServerConfig } from '../../hwqual/lab/configuration.ts';
import { Side } from '../unit/appliance/pairing/simulated-pair.ts';
import { enterNamespace, ip, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';

t.setTimeout(300_000);
enterNamespace(import.meta.url);

type Name = 'A' | 'B';
const MAIN = new URL('../../appliance/main.ts', import.meta.url).pathname;
/** A heartbeat's process. */
const AGENT = new URL('../unit/appliance/heartbeat/agent.ts', import.meta.url).pathname;
const PAIR_ID = '0f'.repeat(16);
const folder = mkdtempSync(join(tmpdir(), 'twinstep-pairing-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

// A is in this namespace, B in the other one; for B's cables a third namespace can be put in between.
const b = await OtherEnd.open();
t.teardown(() => b.close());
for (const n of [1, 2]) {
  ip('link', 'add', `link${n}`, 'type', 'veth', 'peer', 'name', `link${n}`, 'netns', String(b.pid));
  ip('link', 'set', `link${n}`, 'up');
  b.run('ip', 'link', 'set', `link${n}`, 'up');
}

const keyFileOf = (name: Name) => join(folder, name, 'etc', 'pair.key');
const keyOf = (name: Name) => (existsSync(keyFileOf(name)) ? readFileSync(keyFileOf(name), 'utf8') : null);
const configOf = (name: Name) => join(folder, name, 'config.yaml');

function configure(nics = ['link1', 'link2']): void {
  for (const name of ['A', 'B'] as const) {
    const secrets = { pairId: PAIR_ID, pairKey: '', password: '', passwordHash: '', bmcPasswords: { A: '', B: '' } };
    const config = coServerConfig(
      name,
      secrets,
      {
        acceleration: 'tcg',
        append: '',
        mode: 'lockstep',
        idleMs: 500,
        diskMiB: 16,
        rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
        watchdogS: 30,
      },
      { A: 1, B: 2 },
    );
    rmSync(join(folder, name), { recursive: true, force: true });
    mkdirSync(join(folder, name), { recursive: true });
    const links = config.links.slice(0, nics.length).map((l, i) => ({ ...l, nic: nics[i] ?? l.nic }));
    const console = { ...config.console, port: 0, serial: '', socket: join(folder, name, 'run', 'console.sock') };
    const own = {
      ...config,
      links,
      console,
      fence: { ...config.fence, address: '' },
      watchdog: { ...config.watchdog, device: '' },
      labSocket: '',
      pair: { id: PAIR_ID, keyFile: keyFileOf(name) },
    };
    const dirs = { stateDir: join(folder, name, 'state'), runDir: join(folder, name, 'run') };
    writeFileSync(configOf(name), stringify({ ...own, ...dirs }));
  }
}

/** A `twinstep` process of one CoServer, and what it has said. */
class Run {
  readonly process: ChildProcess;
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #waiting = new Set<() => void>();

  constructor(name: Name, ...args: string[]) {
    const command = [process.execPath, '--no-warnings', MAIN, ...args, '--config', configOf(name)];
    const [file, rest] = name === 'A' ? [command[0] ?? '', command.slice(1)] : b.command(...command);
    // In a group with nobody: nsenter does not pass signals on.
    this.process = spawn(file, rest, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.ended = once(this.process, 'exit').then(([code]) => code as number | null);
    for (const output of [this.process.stdout, this.process.stderr])
      if (output)
        createInterface({ input: output }).on('line', (line) => {
          this.lines.push(line);
          for (const look of [...this.#waiting]) look();
        });
    t.teardown(() => this.kill());
  }

  /** The first line that fits, also an earlier one. */
  said(pattern: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.lines.map((line) => line.match(pattern)).find((m) => m !== null);
        if (!found) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.ended.then((code) => setImmediate(() => reject(new Error(`ended with ${code} before ${pattern}: ${this.lines.join(' | ')}`))));
      this.#waiting.add(look);
      look();
    });
  }

  async code(): Promise<string> {
    return (await this.said(/^Code: (\d{6})$/))[1] ?? '';
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    process.kill(-(this.process.pid ?? 0), 'SIGKILL');
    await this.ended;
  }
}

const pair = (name: Name, ...more: string[]) => new Run(name, 'pair', ...more);
const until = async (what: string, fits: () => boolean): Promise<void> => {
  for (const end = Date.now() + 60_000; !fits(); ) {
    if (Date.now() > end) throw new Error(`not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

t.test('two processes pair by the code that both show', async (t) => {
  configure();
  t.equal(await pair('A', '--confirm', '123456').ended, 3, 'nothing is being paired yet');
  const [onA, onB] = [pair('A'), pair('B')];
  const code = await onA.code();
  t.equal(await onB.code(), code);
  const script = pair('A', '--confirm', code);
  await onB.said(/The same code on the console of CoServer A\? yes\/no/);
  await onA.said(/Confirmed here: waiting for the operator at CoServer B/);
  t.same([keyOf('A'), keyOf('B')], [null, null], 'one confirmation is not enough');
  onB.process.stdin?.write('perhaps\nyes\n');
  await onB.said(/Answer 'yes' or 'no'/);
  t.same(await Promise.all([onA.ended, onB.ended, script.ended]), [0, 0, 0], onB.lines.join('\n'));
  t.match(keyOf('A'), new RegExp(`^[0-9a-f]{64}\npair ${PAIR_ID}\n$`));
  t.equal(keyOf('A'), keyOf('B'));
  for (const name of ['A', 'B'] as const) {
    t.equal(statSync(keyFileOf(name)).mode & 0o777, 0o600);
    t.notOk(existsSync(`${keyFileOf(name)}.pending`));
  }
  const print = /^The key's fingerprint: ([0-9a-f-]{14})/;
  t.equal((await onA.said(print))[1], (await onB.said(print))[1]);
  const secret = keyOf('A')?.slice(0, 64) ?? '';
  for (const run of [onA, onB, script])
    t.notOk(
      run.lines.some((line) => line.includes(secret)),
      'no secret is shown',
    );
});

t.test('with a key, it helps the partner; --again makes a new one', async (t) => {
  const before = keyOf('A');
  const [helper, other] = [pair('A'), pair('B')];
  await helper.said(/has a key already/);
  t.same(await Promise.all([helper.ended, other.ended]), [0, 0]);
  t.equal(keyOf('A'), before);
  const [onA, onB] = [pair('A', '--again'), pair('B', '--again')];
  const code = await onA.code();
  pair('A', '--confirm', code);
  pair('B', '--confirm', await onB.code());
  t.same(await Promise.all([onA.ended, onB.ended]), [0, 0]);
  t.not(keyOf('A'), before);
  t.equal(keyOf('A'), keyOf('B'));
});

t.test('the operator says no, on one side', async (t) => {
  configure();
  const [onA, onB] = [pair('A'), pair('B')];
  await Promise.all([onA.code(), onB.code()]);
  onA.process.stdin?.write('no\n');
  t.same(await Promise.all([onA.ended, onB.ended]), [1, 1]);
  await until('said', () => onB.lines.some((l) => /The operator at CoServer A says that the codes differ: nothing was kept/.test(l)));
  t.same([keyOf('A'), keyOf('B')], [null, null]);
});

t.test('a process that dies between the confirmations leaves nothing behind, one that dies after them finishes later', async (t) => {
  configure();
  const [onA, onB] = [pair('A'), pair('B')];
  const code = await onA.code();
  await onB.code();
  pair('A', '--confirm', code);
  await onA.said(/Confirmed here/);
  await onA.kill();
  await onB.said(/CoServer A fell silent before both had the key/);
  t.same([keyOf('A'), keyOf('B')], [null, null]);
  t.notOk(existsSync(`${keyFileOf('B')}.pending`));
  await onB.kill();

  // Both have confirmed, the last message was lost: one has the key as pending, the other has it as its key and works with it.
  const key = `${'ab'.repeat(32)}\npair ${PAIR_ID}\n`;
  for (const [file, text] of [
    [keyFileOf('A'), key],
    [`${keyFileOf('B')}.pending`, key],
  ] as const) {
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, text, { mode: 0o600 });
  }
  const late = pair('B');
  await late.said(/An earlier pairing was interrupted after it was confirmed/);
  t.equal(keyOf('B'), null);
  t.same(await Promise.all([pair('A').ended, late.ended]), [0, 0]);
  t.equal(keyOf('B'), key);
});

t.test('a CoServer without a key starts no workload: it pairs, and then goes on', async (t) => {
  configure();
  const started = new Run('A', 'run');
  await started.said(/not paired: there is no .*pair\.key, so the workload is not started/);
  const onB = pair('B');
  const code = await onB.code();
  await started.said(new RegExp(`pairing: code, code ${code}`));
  const { runStatus } = await import('../../appliance/console/cli/status.ts');
  let picture = '';
  const show = { write: (text: string) => (picture += text) };
  const socket = join(folder, 'A', 'run', 'console.sock');
  t.equal(await runStatus(['--socket', socket], { stdout: show, stderr: show }), 0, picture);
  t.match(picture, new RegExp(`Not paired: This CoServer shows the code ${code}`));
  t.match(picture, /it needs the key of the pair/);
  t.equal(await act(socket, `confirm-code-${code === '000000' ? '000001' : '000000'}`), 404, 'another code is no action');
  t.equal(await act(socket, `confirm-code-${code}`), 200);
  onB.process.stdin?.write('yes\n');
  t.equal(await onB.ended, 0);
  await started.said(/paired: the key's fingerprint is/);
  await started.said(/record: generation 0, fresh/);
  await started.kill();
  t.equal(keyOf('A'), keyOf('B'));
});

t.test('a change of the key that was interrupted: the side that missed the end goes over when it starts', async (t) => {
  configure();
  const [oldKey, newKey] = ['ab', 'cd'].map((digits) => `${digits.repeat(32)}\npair ${PAIR_ID}\n`);
  for (const [file, text] of [
    [keyFileOf('A'), oldKey],
    [`${keyFileOf('A')}.pending`, newKey],
    [keyFileOf('B'), newKey],
  ] as const) {
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, text ?? '', { mode: 0o600 });
  }
  const alone = new Run('A', 'run');
  await alone.said(/a new key waits for the partner .*the old one is used/);
  await alone.said(/record: generation 0/);
  t.equal(keyOf('A'), oldKey);
  await alone.kill();
  // B works with the new one: its heartbeat is the proof.
  const links = [1, 2].map((n) => ({ nic: `link${n}`, localAddress: `10.1.${n}.2`, remoteAddress: `10.1.${n}.1` }));
  const setup = { coServer: 'B', pairId: PAIR_ID, pairKey: 'cd'.repeat(32), links, intervalMs: 20, timeoutMs: 400 };
  const working = b.spawn(process.execPath, '--no-warnings', AGENT, JSON.stringify(setup));
  t.teardown(() => working.kill('SIGKILL'));
  working.stdout?.resume();
  const started = new Run('A', 'run');
  await started.said(/the new key, agreed before the last stop, is the key now/);
  t.equal(keyOf('A'), newKey);
  t.notOk(existsSync(`${keyFileOf('A')}.pending`));
  working.kill('SIGKILL');
  await started.kill();
});

async function act(socketPath: string, action: string): Promise<number> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-twinstep-console': '1' };
    const call = request({ socketPath, path: `/api/actions/${action}`, method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.on('error', reject);
    call.end('{"args":{}}');
  });
}

t.test('a man in the middle: two codes, and the other one is refused', async (t) => {
  configure(['long1']);
  // A's cable ends at him, and another one of his goes to B.
  ip('link', 'add', 'long1', 'type', 'veth', 'peer', 'name', 'ear-a');
  ip('link', 'add', 'ear-b', 'type', 'veth', 'peer', 'name', 'long1', 'netns', String(b.pid));
  for (const nic of ['long1', 'ear-a', 'ear-b']) ip('link', 'set', nic, 'up');
  b.run('ip', 'link', 'set', 'long1', 'up');
  // To A he is B, to B he is A: honest machines, so that only the code can tell.
  const between = { 'ear-a': new Side('B', `${process.pid}`, PAIR_ID), 'ear-b': new Side('A', `${process.pid}`, PAIR_ID) };
  const ports = (Object.entries(between) as [keyof typeof between, Side][]).map(([nic, side]) => {
    const at = () => performance.now();
    const flush = () => {
      for (const bytes of side.outbox.splice(0)) port.send(bytes);
    };
    const port = new LinkPort(nic, {
      pairing: (bytes) => {
        side.feed({ kind: 'received', at: at(), bytes });
        flush();
      },
      heartbeat: () => undefined,
    });
    port.look(false);
    const timer = setInterval(() => {
      side.feed({ kind: 'tick', at: at() });
      // He confirms whatever is shown: he has no operator to ask.
      if (side.code) side.feed({ kind: 'confirm', at: at(), code: side.code });
      flush();
    }, TICK_MS);
    return () => {
      clearInterval(timer);
      port.close();
    };
  });
  t.teardown(() => ports.map((end) => end()));
  const [onA, onB] = [pair('A'), pair('B')];
  const [codeA, codeB] = await Promise.all([onA.code(), onB.code()]);
  t.not(codeA, codeB, 'one in a million would be equal');
  const script = pair('A', '--confirm', codeB);
  t.equal(await script.ended, 1);
  // Whichever reaches it first: the answer to its question, or the end of the attempt that it caused.
  t.match(
    script.lines.join('\n'),
    new RegExp(`This console shows ${codeA}, not ${codeB}: the codes differ, nothing was kept|The codes differ: nothing was kept`),
  );
  t.equal(await onA.ended, 1);
  onB.process.stdin?.write('no\n');
  t.equal(await onB.ended, 1);
  t.match(onB.lines.join('\n'), /The codes differ: nothing was kept\. .*cable of every link runs directly/);
  for (const name of ['A', 'B'] as const) t.notOk(existsSync(keyFileOf(name)) || existsSync(`${keyFileOf(name)}.pending`));
});

t.test('nothing of the pairing leaves by another NIC', async (t) => {
  configure();
  ip('link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
  for (const nic of ['lan0', 'lan1']) ip('link', 'set', nic, 'up');
  let seen = 0;
  const ear = new PacketSocket(
    { nic: 'lan1', etherType: 0x88b6 },
    {
      onFrames: (batch) => {
        seen += unpackFrames(batch).frames.length;
      },
    },
  );
  const [onA, onB] = [pair('A'), pair('B')];
  await Promise.all([onA.code(), onB.code()]);
  await Promise.all([onA.kill(), onB.kill()]);
  t.equal(seen, 0);
  ear.close();
});
