// The update of a pair from its beginning to its end, with disks in memory: both drivers, what travels between them, and what is said.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runUpdate } from '../../../../appliance/update/command.ts';
import { headFileOf } from '../../../../appliance/update/kept-head.ts';
import { UploadDesk } from '../../../../appliance/update/upload.ts';
import { seededDice } from '../../../../hwqual/lab/power-loss.ts';
import { call, harness, post, signIn } from '../console/api/harness.ts';
import { bundle, folderFor, manifestOf, stream, version } from './machine.ts';
import { type SideOptions, UpdatedPair } from './updated-pair.ts';

t.setTimeout(300_000);

const OLD = version('1.0.0');
const NEW = version('1.1.0');
const LIVES = Number(process.env.TWINSTEP_LIVES ?? 3);
/** With SLOWLY it is on its way for seconds. */
const LARGE = version('1.1.0', 200_000, 100_000);
const SLOWLY = 150_000;

/** A pair whose A has received the new version. */
async function pairWith(t: { teardown(f: () => void): void }, options: SideOptions = {}, update = bundle(NEW)): Promise<UpdatedPair> {
  const pair = new UpdatedPair([OLD], folderFor(t), options);
  t.teardown(() => Promise.all([pair.sides.A.updater?.stop(), pair.sides.B.updater?.stop()]));
  const { A } = pair.sides;
  await A.machine.store().receive(stream(update));
  await A.machine.store().activate();
  await pair.until('both are heard', () => [A, pair.sides.B].every((s) => s.updater?.status().partner));
  return pair;
}

const pairOf = (pair: UpdatedPair, name: 'A' | 'B' = 'A') => pair.sides[name].updater?.status().pair ?? null;
const isOver = (pair: UpdatedPair) => () =>
  (['A', 'B'] as const).every((name) => ['done', 'stopped'].includes(pairOf(pair, name)?.state ?? ''));

t.test('it travels, the secondary starts again first, the workload moves, the other one follows', async (t) => {
  const pair = await pairWith(t);
  t.equal(pairOf(pair), null);
  // They have been running for a day: a partner that starts again is not missed since then.
  pair.nowMs += 86_400_000;
  await pair.until('both are heard', () => [pair.sides.A, pair.sides.B].every((s) => s.updater?.status().partner));
  t.strictSame(pair.sides.B.updater?.status().partner, {
    version: '1.0.0',
    onTrial: false,
    received: '1.1.0',
    givenUp: null,
    engine: '11.1.3',
  });
  t.strictSame(await pair.sides.A.updater?.ask('start', false, 'the test'), { accepted: true, detail: { version: '1.1.0' } });
  t.match(await pair.sides.A.updater?.ask('start', false, 'the test'), { accepted: false, reason: /going on/ });
  const seen: string[] = [];
  await pair.until('done', isOver(pair), () => {
    const now = `${pair.versions()}, guest on ${pair.guestAt}`;
    if (seen.at(-1) !== now) seen.push(now);
  });
  t.strictSame(seen, ['1.0.0 1.0.0, guest on A', '1.0.0 1.1.0, guest on A', '1.0.0 1.1.0, guest on B', '1.1.0 1.1.0, guest on B']);
  t.strictSame([pair.sides.A.restarts, pair.sides.B.restarts], [1, 1]);
  t.match(pairOf(pair), { target: '1.1.0', state: 'done', text: 'Both CoServers run 1.1.0, and either may fail.', sent: null });
  t.equal(pair.guestRestarts, 0);
  t.match(pair.told.join('\n'), /A info: The update of both CoServers to 1\.1\.0 .*was begun by the test/);
  t.match(pair.told.join('\n'), /B info: The update of both CoServers to 1\.1\.0 was begun on CoServer A by the test/);
  t.equal(pair.told.filter((line) => /warning/.test(line)).length, 0, pair.told.join('\n'));
  for (const side of Object.values(pair.sides)) t.strictSame(await side.machine.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0.efi']);
});

t.test('before it is its turn a loss of power starts the old version, although the upload had it tried next', async (t) => {
  const pair = await pairWith(t, { rateBytesPerS: SLOWLY }, bundle(LARGE));
  await pair.sides.A.updater?.ask('start', false, 'the test');
  await pair.until('some of it is there', () => (pairOf(pair, 'B')?.sent?.bytes ?? 0) > 0);
  pair.sides.A.down();
  pair.sides.A.machine.running.version = '?';
  await pair.until('back', () => pair.sides.A.updater !== null);
  t.equal(pair.sides.A.machine.running.version, '1.0.0');
  await pair.until('done', isOver(pair));
  t.equal(pair.versions(), '1.1.0 1.1.0');
});

t.test('one that does not become healthy: stopped on both, both on the old one', async (t) => {
  const pair = await pairWith(t, { bad: { B: '1.1.0' } });
  await pair.sides.A.updater?.ask('start', false, 'the test');
  await pair.until('stopped', isOver(pair));
  t.equal(pair.versions(), '1.0.0 1.0.0');
  t.equal(pair.guestAt, 'A');
  t.match(pairOf(pair), { state: 'stopped', text: /1\.1\.0 did not become healthy on CoServer B, which is back on 1\.0\.0/ });
  t.match(pairOf(pair, 'B')?.text, pairOf(pair)?.text ?? 'none');
  t.match(pair.told.filter((line) => /warning: The update of the pair stopped/.test(line)).length, 2);
  t.match(await pair.sides.A.updater?.ask('start', false, 'again'), { accepted: false, reason: /was given up on the other CoServer/ });
});

t.test('bad on the second one: the guest stays on the first, and the pair runs with both versions', async (t) => {
  const pair = await pairWith(t, { bad: { A: '1.1.0' } });
  await pair.sides.A.updater?.ask('start', false, 'the test');
  await pair.until('stopped', isOver(pair));
  t.equal(pair.versions(), '1.0.0 1.1.0');
  t.equal(pair.guestAt, 'B');
  t.match(pairOf(pair)?.text, /two versions now/);
});

t.test('the partner does not take it: its reason is told, and nothing was restarted', async (t) => {
  const pair = await pairWith(t);
  const { A, B } = pair.sides;
  const head = A.machine.store().head();
  const other = bundle(NEW, { manifest: manifestOf(NEW, { engine: '11.1.3', minimumFrom: '0.0.2' }) });
  // Its signature is another update's.
  writeFileSync(headFileOf(A.machine.place.recordFile), Buffer.concat([head?.bytes.subarray(0, -64) ?? other, other.subarray(0, 64)]));
  await A.updater?.ask('start', false, 'the test');
  await pair.until('stopped', isOver(pair));
  t.match(pairOf(pair, 'B')?.text, /CoServer \w does not take the update to 1\.1\.0: The update is not signed by a key/);
  t.strictSame([A.restarts, B.restarts, pair.versions()], [0, 0, '1.0.0 1.0.0']);
});

t.test('the operator stops it while it travels; it begins anew, from the beginning', async (t) => {
  const pair = await pairWith(t, { rateBytesPerS: SLOWLY }, bundle(LARGE));
  const { A, B } = pair.sides;
  await A.updater?.ask('start', false, 'the test');
  await pair.until('some of it is there', () => (pairOf(pair, 'B')?.sent?.bytes ?? 0) > 0);
  t.match(pairOf(pair, 'B'), { state: 'sending', text: /goes over the links: 0\.\d of 0\.3 MB, / });
  t.strictSame(await B.updater?.ask('stop', false, 'the console'), { accepted: true });
  await pair.until('stopped', isOver(pair));
  t.match(pairOf(pair)?.text, /Stopped by the operator \(the console\)/);
  t.match(await A.updater?.ask('start', false, 'the test'), { accepted: true });
  await pair.until('done', isOver(pair));
  t.equal(pair.versions(), '1.1.0 1.1.0');
});

t.test('another engine: asked before it begins, level 2 while they differ, one restart of the guest', async (t) => {
  const engineOf = (v: string) => (v === '1.1.0' ? '12.0.0' : '11.1.3');
  const update = bundle(NEW, { manifest: manifestOf(NEW, { engine: '12.0.0' }) });
  const pair = await pairWith(t, { engineOf }, update);
  let heldTimes = 0;
  // B tells that it knows of the update before A goes on: A had not asked yet when it looked.
  pair.duringHold = async () => {
    heldTimes += 1;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    await pair.sides.B.updater?.tick();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  await pair.sides.A.updater?.ask('start', false, 'the test');
  let looks = 0;
  await pair.until('asked', () => ++looks > 20);
  t.equal(heldTimes, 1);
  t.match(pair.sides.A.updater?.status(), { pair: { sent: null }, partner: { received: null, engine: '11.1.3' } }, 'nothing was sent');
  t.match(pairOf(pair), { asksRestartGuest: true, mayRestartGuest: false, text: /level 2 meanwhile, and the guest is restarted once/ });
  t.equal(pair.sides.B.restarts, 0);
  t.match(await pair.sides.B.updater?.ask('allowRestart', false, 'the test'), { accepted: true });
  await pair.until('done', isOver(pair));
  t.equal(pair.versions(), '1.1.0 1.1.0');
  t.strictSame([pair.guestRestarts, pair.sides.A.level, pair.sides.B.level], [1, 3, 3]);
  // A: its process to level 2, the server. B: the server, its process back to level 3. Both servers start at the level that fits then.
  t.strictSame([pair.sides.A.restarts, pair.sides.B.restarts], [2, 2]);
});

t.test('the pair is no longer duplex when the disk has taken its time: nothing starts again', async (t) => {
  const pair = await pairWith(t);
  pair.afterActivate = () => {
    pair.isBroken = true;
  };
  await pair.sides.A.updater?.ask('start', false, 'the test');
  let looks = 0;
  await pair.until('looked at some more', () => pair.isBroken && ++looks > 10);
  t.strictSame([pair.sides.A.restarts, pair.sides.B.restarts], [0, 0]);
  t.strictSame(await pair.sides.B.machine.files(), ['twinstep_1.0.0.efi', 'twinstep_1.1.0.efi.new'], 'and nothing is tried meanwhile');
  pair.isBroken = false;
  pair.afterActivate = () => {};
  await pair.until('done', isOver(pair));
  t.equal(pair.versions(), '1.1.0 1.1.0');
});

t.test('what may not begin is refused by name', async (t) => {
  const pair = new UpdatedPair([OLD], folderFor(t), {});
  const { A } = pair.sides;
  const ask = () => A.updater?.ask('start', false, 'the test');
  t.match(await ask(), { accepted: false, reason: /The other CoServer is not heard/ });
  await pair.until('heard', () => A.updater?.status().partner != null);
  t.match(await ask(), { accepted: false, reason: /No update waits here/ });
  t.match(await A.updater?.ask('stop', false, 'x'), { accepted: false, reason: /No update of the pair is going on/ });
  await A.machine.store().receive(stream(bundle(NEW, { manifest: manifestOf(NEW, { minimumFrom: '1.0.0' }) })));
  writeFileSync(headFileOf(A.machine.place.recordFile), 'nothing');
  t.match(await ask(), { accepted: false, reason: /what was signed of it was not kept/ });
});

t.test('power fails at any write, on either: it goes on by what is on the disks', async (t) => {
  const seed = Number(process.env.TWINSTEP_SEED ?? Date.now() % 1_000_000);
  t.comment(`TWINSTEP_SEED=${seed}`);
  const dice = seededDice(seed);
  const ends: Record<string, number> = {};
  for (let life = 0; life < LIVES; life++) {
    const pair = await pairWith(t);
    await pair.sides.A.updater?.ask('start', false, 'the test');
    let faults = 0;
    await pair.until('over', isOver(pair), () => {
      const side = pair.sides[dice(2) === 0 ? 'A' : 'B'];
      if (faults >= 3 || dice(6) > 0 || !side.updater) return;
      faults += 1;
      // At once, or in the middle of what it writes next.
      if (dice(2) === 0) side.down();
      else side.cutAfter(dice(40));
    });
    const end = `${pair.versions()} ${pairOf(pair)?.state}`;
    ends[end] = (ends[end] ?? 0) + 1;
    // Three losses in one trial are a version that does not become healthy; otherwise it is done.
    if (pairOf(pair)?.state === 'done') t.equal(pair.versions(), '1.1.0 1.1.0');
    else t.match(pairOf(pair)?.text, /did not become healthy/);
    for (const side of Object.values(pair.sides)) {
      await side.machine.start();
      t.equal(side.machine.running.version, pair.versions().split(' ')[side.name === 'A' ? 0 : 1], 'a start takes what ran');
    }
  }
  t.comment(JSON.stringify(ends));
  t.ok((ends['1.1.0 1.1.0 done'] ?? 0) > 0, 'most of them end well');
});

t.test('on the consoles: what happens, and what is asked', async (t) => {
  const pair = await pairWith(t);
  const desk = (name: 'A' | 'B') =>
    new UploadDesk({
      store: pair.sides[name].machine.store(),
      whyNotRestart: () => null,
      prepareRestart: () => () => {},
      log: () => {},
      pair: () => pair.sides[name].updater,
    });
  const alone = new UploadDesk({
    store: pair.sides.A.machine.store(),
    whyNotRestart: () => null,
    prepareRestart: () => () => {},
    log: () => {},
  });
  t.match(await alone.status(), { version: '1.0.0', next: '1.1.0', pair: null, partner: null });
  t.match(await alone.pair('start', false, 'x'), { accepted: false, reason: /not paired yet/ });
  const h = await harness({ updates: desk('A') });
  t.teardown(() => h.close());
  const cookie = await signIn(h.port);
  const get = async () => JSON.parse((await call(h.port, { path: '/api/update', headers: { cookie } })).text) as object;
  t.match(await get(), { version: '1.0.0', engine: '11.1.3', pair: null, partner: { version: '1.0.0', received: null, engine: '11.1.3' } });
  const ask = (body: object) => call(h.port, post('/api/update/pair', body, { cookie }));
  t.equal((await call(h.port, post('/api/update/pair', { action: 'start' }))).status, 401);
  for (const body of [{}, { action: 'explode' }, { action: 'start', x: 1 }]) t.equal((await ask(body)).status, 400);
  t.match(JSON.parse((await ask({ action: 'allowRestart' })).text), { accepted: false, reason: /No update of the pair/ });
  const socket = ['--socket', h.socketPath];
  let out = '';
  const io = { stdin: stream(Buffer.alloc(0)), stdout: { write: (s: string) => (out += s) }, stderr: { write: (s: string) => (out += s) } };
  t.equal(await runUpdate(['pair', 'status', ...socket], io), 0);
  t.equal(out, 'This one   1.0.0\nThe other  1.0.0\nPair       no update of both was begun\n');
  out = '';
  t.equal(await runUpdate(['pair', 'start', '--restart-guest', ...socket], io), 0, out);
  t.match(out, /both CoServers to 1\.1\.0 has begun/);
  t.match(await get(), { pair: { target: '1.1.0', mayRestartGuest: true, asksRestartGuest: false, partner: { version: '1.0.0' } } });
  t.equal(await runUpdate(['pair', 'start', ...socket], io), 1);
  t.match(out, /twinstep update: The update of the pair to 1\.1\.0 is going on/);
  t.equal(await runUpdate(['pair', 'allow-restart', ...socket], io), 0);
  t.equal(await runUpdate(['pair', 'stop', ...socket], io), 0);
  out = '';
  t.equal(await runUpdate(['pair', 'status', ...socket], io), 0);
  t.match(out, /Pair {7}to 1\.1\.0, stopped: Stopped by the operator/);
  t.equal(await runUpdate(['pair', 'explode', ...socket], io), 2);
  t.equal(await runUpdate(['pair', 'status', '--socket', join(h.directory, 'none')], io), 1);
  t.match(out, /Twinstep does not answer at/);
});
