// `twinstep qualify` as it is typed: files written, read, changed by hand; the process asked; the exit code of each case.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import type { Facts } from '../../../../hwqual/checks/index.ts';
import { coServerConfig, makeSecrets } from '../../../../hwqual/lab/configuration.ts';
import { EXIT, runQualify } from '../../../../hwqual/qualify/command.ts';
import type { FactSources } from '../../../../hwqual/qualify/read-facts.ts';
import { wholeFacts } from '../checks/facts-fixture.ts';

const secrets = await makeSecrets();
const workload = {
  acceleration: 'tcg',
  append: '',
  mode: 'lockstep',
  idleMs: 1000,
  diskMiB: 64,
  rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
  watchdogS: 10,
} as const;
const whole = await wholeFacts();

/** This server, as the fixture's machine. */
function sourcesOf(change: (f: Facts['inventory']) => void = () => undefined): FactSources {
  const inventory = structuredClone(whole.inventory);
  const [port] = inventory.nics;
  if (!port) throw new Error('the fixture has no port');
  inventory.nics = ['link1', 'link2', 'lan0', 'mgmt0'].map((name) => ({ ...structuredClone(port), name }));
  change(inventory);
  return {
    inventory: async () => structuredClone(inventory),
    nicDriver: () => ({ driver: 'igb', version: null, firmware: '1', bus: null }),
    bmc: async () => ({
      deviceId: 1,
      deviceRevision: 1,
      firmware: '7.10',
      ipmiVersion: '2.0',
      manufacturerId: 674,
      productId: 256,
      available: true,
    }),
    engineVersion: async () => 'QEMU emulator version 11.1.3 (Debian)',
    kvm: async () => ({ usable: true, reason: '' }),
    disk: async () => '/dev/nvme0n1',
  };
}

function setUp(t: Test, change?: (f: Facts['inventory']) => void) {
  const folder = mkdtempSync(join(tmpdir(), 'qualify-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const config = (coServer: 'A' | 'B'): CoServerConfig => {
    const c = coServerConfig(coServer, secrets, workload, { A: 1, B: 2 });
    return {
      ...c,
      stateDir: folder,
      runDir: folder,
      console: { ...c.console, socket: join(folder, 'console.sock') },
      hardware: { watch: 'on', bmc: '/dev/ipmi0' },
      qualification: { policy: 'identical' },
    };
  };
  const run = async (
    args: string[],
    more: { change?: (f: Facts['inventory']) => void; coServer?: 'A' | 'B'; thread?: string; stopAt?: RegExp } = {},
  ) => {
    const said = { out: '', err: '' };
    const stop = new AbortController();
    const onOut = (text: string) => {
      said.out += text;
      if (more.stopAt?.test(said.out)) stop.abort();
    };
    const code = await runQualify(
      args.map((a) => (/\.(json|html)$/.test(a) ? join(folder, a) : a)),
      { stdout: { write: onOut }, stderr: { write: (x) => (said.err += x) } },
      {
        version: '1.0.0',
        load: () => config(more.coServer ?? 'A'),
        sources: sourcesOf(more.change ?? change),
        now: () => new Date('2026-11-21T12:00:00Z'),
        burnIn: {
          loadPairKey: () => Buffer.alloc(32),
          loadFencePassword: () => 'secret',
          program: new URL(`../burn-in/${more.thread ?? 'worker-thread.ts'}`, import.meta.url),
          stopSignal: () => stop.signal,
        },
      },
    );
    return { code, ...said };
  };
  return { folder, run, config };
}

const otherBios = (f: Facts['inventory']): void => {
  f.bios.version = '2.20.0';
};

t.test('saved on one, compared on the other', async (t) => {
  const { folder, run } = setUp(t);
  const saved = await run(['--config', 'c', '--save', 'b.json'], { coServer: 'B' });
  t.equal(saved.code, EXIT.passed, saved.err);
  t.match(saved.out, /inventory of CoServer B, signed by ([0-9a-f]{4} ){15}[0-9a-f]{4}\n/);
  const key = statSync(join(folder, 'inventory-key.pem'));
  t.equal(key.mode & 0o777, 0o600);
  const alike = await run(['--config', 'c', '--against', 'b.json']);
  t.equal(alike.code, EXIT.passed, alike.out);
  t.match(alike.out, /^QUALIFIED for lockstep, policy identical\n/);
  t.match(alike.out, /saved 2026-11-21 12:00 UTC/);
  const other = await run(['--config', 'c', '--against', 'b.json'], { change: otherBios });
  t.equal(other.code, EXIT.notPassed);
  t.match(other.out, /refused: Version of the BIOS.*\n {2}CoServer A: 2\.20\.0\n {2}CoServer B: 2\.19\.1\n {2}Both run the same BIOS/);
  const loose = await run(['--config', 'c', '--against', 'b.json', '--policy', 'sameFamily'], { change: otherBios });
  t.equal(loose.code, EXIT.passed);
  t.match(loose.out, /compatible: Version of the BIOS/);
  t.equal((await run(['--config', 'c', '--save', 'b2.json'], { coServer: 'B' })).out.slice(-60), saved.out.slice(-60), 'the key stays');
});

t.test('two files, and a report that is signed', async (t) => {
  const { folder, run } = setUp(t);
  await run(['--config', 'c', '--save', 'a.json']);
  await run(['--config', 'c', '--save', 'b.json'], { coServer: 'B', change: otherBios });
  const plain = await run(['--compare', 'b.json', 'a.json']);
  t.equal(plain.code, EXIT.notPassed, plain.err);
  t.match(plain.out, /CoServer A: 2\.19\.1\n {2}CoServer B: 2\.20\.0/, 'A first, in whichever order they are named');
  const reported = await run(['--compare', 'a.json', 'b.json', '--config', 'c', '--json', 'r.json', '--html', 'r.html']);
  t.equal(reported.code, EXIT.notPassed, reported.err);
  const report = JSON.parse(readFileSync(join(folder, 'r.json'), 'utf8'));
  t.match(report, { kind: 'twinstep-qualification', verdict: 'refused', policy: 'identical', a: { source: { kind: 'saved' } } });
  const { verified } = await import('../../../../hwqual/qualify/signed-file.ts');
  t.equal(verified(JSON.stringify(report), 'r').fingerprint, report.signature.fingerprint);
  t.throws(() => verified(JSON.stringify({ ...report, verdict: 'passed' }), 'r'), /changed after it was signed/);
  const page = readFileSync(join(folder, 'r.html'), 'utf8');
  t.match(page, /<strong>Not qualified for lockstep<\/strong>/);
  t.ok(page.includes(report.signature.fingerprint));
  t.notMatch(page, /<script|src=|href=/, 'it needs nothing else');
  t.equal((await run(['--compare', 'a.json', 'b.json', '--html', 'x.html'])).code, EXIT.cannot, 'somebody has to sign it');
  t.notOk(existsSync(join(folder, 'x.html')));
});

t.test('a file that was changed by hand', async (t) => {
  const { folder, run } = setUp(t);
  await run(['--config', 'c', '--save', 'a.json']);
  await run(['--config', 'c', '--save', 'b.json'], { coServer: 'B', change: otherBios });
  const file = join(folder, 'b.json');
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace('2.20.0', '2.19.1'));
  const forged = await run(['--config', 'c', '--against', 'b.json']);
  t.equal(forged.code, EXIT.signature);
  t.match(forged.err, /b\.json: the signature does not fit: the file was changed after it was signed/);
  t.equal((await run(['--compare', 'a.json', 'b.json'])).code, EXIT.signature);
  const { signature: _, ...unsigned } = JSON.parse(text);
  writeFileSync(file, JSON.stringify(unsigned));
  t.equal((await run(['--compare', 'a.json', 'b.json'])).code, EXIT.signature);
  writeFileSync(file, JSON.stringify(JSON.parse(text)));
  t.equal((await run(['--compare', 'a.json', 'b.json'])).code, EXIT.notPassed, 'spaces and line breaks are no change');
  for (const [damage, words] of [
    ['', /not JSON/],
    [text.slice(0, 500), /not JSON/],
    ['[]', /holds no inventory/],
  ] as const) {
    writeFileSync(file, damage);
    const damaged = await run(['--compare', 'a.json', 'b.json']);
    t.equal(damaged.code, EXIT.cannot);
    t.match(damaged.err, words);
  }
  rmSync(file);
  t.match(await run(['--compare', 'a.json', 'b.json']), { code: EXIT.cannot, err: /cannot read .*b\.json/ });
});

t.test('the process here is asked for both; without it this server is read', async (t) => {
  const { folder, run } = setUp(t);
  const alone = await run(['--config', 'c']);
  t.match(alone.err, /does not run here/);
  t.match(alone.out, /Only this server is known/);
  t.equal(alone.code, EXIT.passed, alone.out);
  const without = await run(['--config', 'c'], {
    change: (f) => {
      f.memory.ecc = false;
    },
  });
  t.equal(without.code, EXIT.notPassed, 'what one server lacks by itself is seen');

  let answer: { status: number; body: unknown } = { status: 200, body: {} };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(join(folder, 'console.sock'), resolve));
  t.teardown(() => server.close());
  const partner: Facts = { ...structuredClone(whole), coServer: 'B' };
  partner.inventory.bios.version = '2.20.0';
  answer = { status: 200, body: { own: whole, partner, judgedAt: null, qualification: null } };
  const live = await run(['--config', 'c', '--html', 'live.html']);
  t.equal(live.code, EXIT.notPassed);
  t.match(live.out, /refused: Version of the BIOS/);
  t.same(asked, ['/api/qualification']);
  answer = { status: 200, body: { own: whole, partner: null } };
  t.match((await run(['--config', 'c'])).out, /Only this server is known/);
  answer = { status: 404, body: {} };
  t.match((await run(['--config', 'c'])).err, /its qualification\.policy is none/);
  answer = { status: 200, body: { own: { coServer: 'A' }, partner } };
  t.match((await run(['--config', 'c'])).err, /not with what servers are made of.*is it twinstep's/);
});

t.test('results of a burn-in are shown, and one that failed does not pass', async (t) => {
  const { folder, run } = setUp(t);
  await run(['--config', 'c', '--save', 'b.json'], { coServer: 'B' });
  const result = {
    schema: 1,
    coServer: 'A',
    startedAt: '2026-11-21T10:00:00.000Z',
    askedS: 600,
    durationS: 600,
    tests: [{ id: 'flush', title: 'Flush', verdict: 'fail', figures: { flushesPerS: 90_000 }, reason: 'A flush took <no> time.' }],
    smallestHeartbeatTimeoutMs: 120,
    verdict: 'failed',
    sentence: 'Flush: it lied',
  };
  writeFileSync(join(folder, 'burn.json'), JSON.stringify(result));
  const args = ['--config', 'c', '--against', 'b.json', '--html', 'r.html', '--burn-in-result', 'burn.json'];
  const failed = await run(args);
  t.equal(failed.code, EXIT.notPassed);
  t.match(failed.out, /Burn-in of CoServer A: failed\. Flush: it lied/);
  const page = readFileSync(join(folder, 'r.html'), 'utf8');
  t.match(page, /The burn-in of CoServer A failed/);
  t.match(page, /A flush took &#60;no&#62; time\./);
  writeFileSync(join(folder, 'burn.json'), JSON.stringify({ ...result, verdict: 'passed', tests: [] }));
  t.equal((await run(args)).code, EXIT.passed);
  for (const damage of ['{', '[]', JSON.stringify({ ...result, verdict: 'splendid' }), JSON.stringify({ ...result, tests: [7] })]) {
    writeFileSync(join(folder, 'burn.json'), damage);
    t.match(await run(args), { code: EXIT.cannot, err: /burn\.json is no result of twinstep burn-in/ });
  }
});

t.test('--burn-in: this server is burnt in first, and the report has the result', async (t) => {
  const { folder, run, config } = setUp(t);
  await run(['--config', 'c', '--save', 'b.json'], { coServer: 'B' });
  const args = ['--config', 'c', '--against', 'b.json', '--json', 'r.json', '--html', 'r.html', '--burn-in'];
  const well = await run([...args, '1s', '--only', 'clock']);
  t.equal(well.code, EXIT.passed, well.err);
  t.match(well.out, /burn-in \d+ %.*to go.*pass: clock: .*QUALIFIED for lockstep.*Burn-in of CoServer A: passed\. passed: clock\n/s);
  const report = JSON.parse(readFileSync(join(folder, 'r.json'), 'utf8'));
  t.match(report, { verdict: 'passed', burnIn: [{ coServer: 'A', verdict: 'passed', tests: [{ title: 'clock', verdict: 'pass' }] }] });
  t.match(readFileSync(join(folder, 'r.html'), 'utf8'), /<h2>Burn-in of CoServer A: passed<\/h2>/);

  const broken = await run([...args, '1s', '--only', 'processors'], { thread: 'wrong-thread.ts' });
  t.equal(broken.code, EXIT.notPassed, 'alike, but one computes wrong');
  t.match(broken.out, /QUALIFIED for lockstep.*Burn-in of CoServer A: failed\. processors: core .* computed wrong/s);

  const early = await run([...args, '1h', '--only', 'clock'], { stopAt: /burn-in 0 %/ });
  t.equal(early.code, EXIT.notPassed, 'ended early is no pass');
  t.match(early.out, /Burn-in of CoServer A: incomplete\. ended after \d+ s of 3600/);

  // The result of the other one besides.
  writeFileSync(join(folder, 'burn-b.json'), JSON.stringify({ ...report.burnIn[0], coServer: 'B' }));
  const both = await run([...args, '1s', '--only', 'clock', '--burn-in-result', 'burn-b.json']);
  t.equal(both.code, EXIT.passed, both.err);
  t.match(both.out, /Burn-in of CoServer B: passed.*Burn-in of CoServer A: passed/s);
  writeFileSync(join(folder, 'burn-b.json'), '{}');
  const night = await run([...args, '12h', '--burn-in-result', 'burn-b.json']);
  t.match(night, { code: EXIT.cannot, err: /no result of twinstep burn-in/, out: '' }, 'told before the night');

  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(config('A').console.socket, resolve));
  t.teardown(() => server.close());
  t.match(await run([...args, '1s']), { code: EXIT.cannot, err: /CoServer A is running here.*stop it first/ });
});

t.test('--burn-in: options that are of twinstep burn-in only say why', async (t) => {
  const { run } = setUp(t);
  for (const [args, words] of [
    [['--burn-in', '1s', '--reset-by-watchdog'], /--reset-by-watchdog is of twinstep burn-in: it ends this machine before a report/],
    [['--burn-in', '1s', '--phase', 'write'], /--phase is of twinstep burn-in: the power-cut test/],
    [['--burn-in', '1s', '--answer'], /--answer is of twinstep burn-in: it only answers/],
    [['--burn-in', '1s', '--for', '1s'], /--for is of twinstep burn-in: --burn-in says how long/],
    [['--burn-in', 'soon'], /90s, 10m or 24h/],
    [['--burn-in', '1s', '--only', 'luck'], /there is no test luck/],
    [['--disk-mib', '64'], /--disk-mib is about the burn-in: give --burn-in TIME/],
  ] as const)
    t.match(await run(['--config', 'c', ...args]), { code: EXIT.usage, err: words });
  t.match(await run(['--compare', 'a.json', 'b.json', '--burn-in', '1s']), { code: EXIT.usage, err: /--burn-in is of this server/ });
  const { out } = await run(['--help']);
  t.match(out, /--burn-in <time>/);
  t.notMatch(out, /reset-by-watchdog/);
});

t.test('wrong arguments', async (t) => {
  const { run } = setUp(t);
  for (const args of [
    [],
    ['--compare', 'a.json'],
    ['--config', 'c', 'a.json'],
    ['--compare', 'a.json', 'b.json', '--save', 'c.json'],
    ['--config', 'c', '--policy', 'none'],
    ['--nonsense'],
  ])
    t.equal((await run(args)).code, EXIT.usage, args.join(' '));
  t.equal((await run(['--help'])).code, 0);
  t.match(await run(['--config', 'c', '--save', '/nowhere/at/all']), { code: EXIT.cannot, err: /cannot write \/nowhere/ });
});
