// The software in words: versions of both CoServers, an update of the pair, what may be asked for, and what force is for.
import t from 'tap';
import { answered, isMoving, NOT_ASKED, seen, type UpdatePicture, type UpdateState } from '../../../../appliance/console/update-state.ts';
import { softwareModel, transferModel, UPDATE_VERBS } from '../../../../appliance/console/update-views.ts';
import { duplex, isolated } from './fixtures.ts';
import { asking, known, onTrial, running, sending, stopped, uploaded } from './update-fixtures.ts';

const model = (picture: UpdatePicture) => softwareModel(duplex(), known(picture));
const possible = (picture: UpdatePicture) =>
  model(picture)
    .actions.filter((a) => a.allowed)
    .map((a) => a.name);
const factsOf = (m: ReturnType<typeof softwareModel>, name: string) =>
  Object.fromEntries(m.servers.find((s) => s.name === name)?.facts.map((f) => [f.label, `${f.tone}: ${f.value}`]) ?? []);

t.test('nothing is made up: not asked, no image, no answer', async (t) => {
  t.match(softwareModel(duplex(), NOT_ASKED), { tone: 'unknown', sentence: /not been asked/, actions: [], whyNoUpload: null });
  t.match(softwareModel(duplex(), { kind: 'none' }), {
    word: 'version 0.1.0',
    sentence: /^This CoServer was not started from an appliance image/,
    actions: [],
    whyNoUpload: null,
  });
});

t.test('both versions side by side, from the update itself or from what is heard', async (t) => {
  const m = model(running());
  t.match(m, { tone: 'good', word: 'version 1.0.0', whyNoUpload: '' });
  t.match(factsOf(m, 'A'), { Runs: 'info: 1.0.0, from slot a', State: 'good: found healthy', 'Next start': 'info: 1.0.0 again' });
  t.match(factsOf(m, 'B'), { Runs: 'info: 1.0.0' });
  t.notOk('Engine' in factsOf(m, 'A') || 'Engine' in factsOf(m, 'B'), 'a version that does not tell of its engine');
  const partner = { version: '1.0.0', onTrial: false, received: null, givenUp: null, engine: '11.1.3' };
  const alike = model(running({ engine: '11.1.3', partner }));
  t.strictSame([factsOf(alike, 'A')['Engine'], factsOf(alike, 'B')['Engine']], ['info: QEMU 11.1.3', 'info: QEMU 11.1.3']);
  const differ = model(running({ engine: '11.1.4', partner }));
  t.strictSame([factsOf(differ, 'A')['Engine'], factsOf(differ, 'B')['Engine']], ['warning: QEMU 11.1.4', 'warning: QEMU 11.1.3']);
  const given = model(running({ partner: { version: '0.9.0', onTrial: true, received: '1.0.0', givenUp: '0.8.0' } }));
  t.match(given, { tone: 'warning', sentence: /this one 1\.0\.0, the other one 0\.9\.0/ });
  t.match(factsOf(given, 'B'), { Runs: 'warning: 0.9.0', State: 'warning: on trial', Received: 'info: 1.0.0', 'Given up': /0\.8\.0/ });
  const { partner: _, pair: __, ...older } = running();
  t.match(factsOf(model(older), 'B'), { Runs: 'warning: 0.1.0' }, 'what it says at every heartbeat');
  t.match(factsOf(softwareModel(isolated(), known(older)), 'B'), { Runs: /not heard/ });
  t.strictSame(
    model(older).actions.map((a) => a.name),
    ['restart-server'],
    'no pair is updated there',
  );
});

t.test('on trial: what is left of it, and no upload over what it would go back to', async (t) => {
  const m = model(onTrial());
  t.match(m, { tone: 'warning', word: 'version 1.2.0, on trial', sentence: /2 more starts left/, whyNoUpload: /on trial/ });
  t.match(
    m.actions.find((a) => a.name === 'go-back'),
    { allowed: true, label: 'Go back to 1.0.0' },
  );
  const newer = { version: '1.10.0', isUsable: true, text: 'it ran well before' };
  t.match(model(running({ version: '1.9.0', other: newer, next: '1.9.0' })).actions.at(-1), {
    allowed: true,
    label: 'Take version 1.10.0 again',
  });
  t.match(softwareModel(duplex(), known({ ...onTrial(), trial: { triesLeft: 0 } })).sentence, /no more start is left/);
});

t.test('the pair: start, progress, a decision, an end', async (t) => {
  t.match(model(running()).actions[0], { name: 'update-pair', allowed: false, reason: 'upload an update first', number: null });
  t.strictSame(possible(uploaded()), ['update-pair', 'restart-server']);
  t.match(model(uploaded()).actions[0], { label: 'Update the pair to 1.2.0', number: 1 });
  t.match(model(uploaded({ partner: null })).actions[0], { allowed: false, reason: /not heard/ });
  const s = model(sending());
  t.match(s.pair, {
    tone: 'info',
    title: 'The update of the pair to 1.2.0 is being sent to the other CoServer',
    progress: { percent: '50 %', detail: '95 MB of 190 MB, 19 MB/s, 5 s left' },
  });
  t.match(s.whyNoUpload, /stop that first/);
  t.strictSame(possible(sending()), ['stop-pair-update', 'restart-server']);
  const a = model(asking());
  t.match(a.pair, { tone: 'warning', title: /waits for a decision/ });
  t.match(a.actions.find((x) => x.name === 'allow-guest-restart')?.typed, {
    word: 'restart',
    meaning: /The guest vm1 is shut down and started again/,
  });
  t.strictSame(possible(asking()), ['allow-guest-restart', 'stop-pair-update', 'restart-server']);
  t.equal(a.tone, 'info', 'no start before the next is told while versions differ on purpose');
  t.match(model(stopped()).pair, { tone: 'warning', title: /has stopped/ });
  t.match(model(stopped()).actions[0], {
    name: 'update-pair',
    allowed: false,
    reason: /given up on the other CoServer: upload a corrected version/,
  });
  const first = (change: Partial<UpdatePicture>) =>
    model({ ...stopped(), partner: { version: '1.0.0', onTrial: false, received: null, givenUp: null }, ...change }).actions[0];
  t.match(first({}), { name: 'update-pair', label: 'Update the pair to 1.2.0', allowed: true });
  t.match(
    first({ version: '1.2.0', next: '1.2.0', received: null }),
    { label: 'Update the pair to 1.2.0', allowed: true },
    'the one that follows has still to',
  );
  t.match(
    first({ received: null, next: '1.0.0', version: '1.0.0' }),
    { allowed: false, reason: 'upload an update first' },
    'given up here',
  );
  for (const { name } of [...s.actions, ...a.actions]) t.ok(UPDATE_VERBS[name], `${name} can be asked for`);
});

t.test('force: after a refusal that says so, with the refusal beside the word, as long as the versions are the same', async (t) => {
  const refused = answered(known(uploaded()), 'restart', 'the workload runs here');
  const restart = (s: UpdateState) => softwareModel(duplex(), s).actions.find((a) => a.name === 'restart-server');
  t.equal(restart(known(uploaded()))?.typed, null);
  t.match(restart(refused), {
    typed: { word: 'force', meaning: /the workload runs here/ },
    reason: 'the workload runs here',
    allowed: true,
  });
  t.ok(restart(seen(refused, known(uploaded({ isBusy: true }))))?.typed, 'the next look keeps it');
  t.equal(restart(seen(refused, known(running())))?.typed, null, 'another version: asked anew');
  t.equal(restart(answered(refused, 'restart', null))?.typed, null, 'accepted');
  t.ok(restart(answered(refused, 'rollback', null))?.typed, 'that was another one');
  t.equal(answered(NOT_ASKED, 'restart', 'x'), NOT_ASKED);
});

t.test('who uploads, and when to look often', async (t) => {
  const busy = running({ isBusy: true, upload: { received: 5_000_000, bytes: 20_000_000, by: 'the web console, 10.0.0.7' } });
  t.match(model(busy), { upload: { percent: '25 %', detail: '5 MB of 20 MB' }, whyNoUpload: /from the web console, 10\.0\.0\.7/ });
  t.match(model(running({ isBusy: true })).whyNoUpload, /being written here/);
  t.strictSame(
    [running(), busy, sending(), asking(), onTrial(), stopped()].map((p) => isMoving(known(p))),
    [false, true, true, true, true, false],
  );
  t.match(transferModel('x', 0, 0, null), { fraction: 0, percent: '0 %', detail: '0 B of 0 B' });
  t.match(transferModel('x', 10, 10, 5), { percent: '100 %', detail: '10 B of 10 B, 5 B/s' });
});

t.test('what a server says of itself moves no terminal', async (t) => {
  const s = stopped();
  const m = model({ ...s, pair: s.pair ? { ...s.pair, text: 'a\u001b[2Jb', target: '1\u0007' } : null });
  t.notMatch(JSON.stringify(m), /\\u001b|\\u0007/);
});
