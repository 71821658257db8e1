import t from 'tap';
import { UploadDesk } from '../../../../appliance/update/upload.ts';
import { bundle, folderFor, Machine, version } from './machine.ts';

const OLD = version('1.0.0');
const NEW = version('1.1.0');

function desk(m: Machine, options: { silenceMs?: number; why?: string | null } = {}) {
  const log: string[] = [];
  const restarts: number[] = [];
  const made = new UploadDesk({
    store: m.store(),
    whyNotRestart: () => options.why ?? null,
    prepareRestart: () => () => restarts.push(1),
    log: (line) => log.push(line),
    ...(options.silenceMs ? { silenceMs: options.silenceMs } : {}),
  });
  return { desk: made, log, restarts };
}

/** Sends `data` in parts of `partBytes`; answers the last answer. */
async function send(d: UploadDesk, data: Buffer, partBytes = 7_000) {
  const begun = d.begin(data.length, false, 'the test');
  if (!begun.accepted) return begun;
  const id = String(begun.detail?.upload);
  for (let at = 0; at < data.length; at += partBytes) {
    const answer = await d.part(id, at, data.subarray(at, at + partBytes));
    if (!answer.accepted || at + partBytes >= data.length) return answer;
    if (answer.detail?.received !== at + partBytes) throw new Error('it counts otherwise');
  }
  throw new Error('no last answer');
}

t.test('in parts, installed at the last one; what is wrong is answered to the part where it shows', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const { desk: d, log } = desk(m);
  t.match(await send(d, Buffer.alloc(30_000, 'PK')), { accepted: false, reason: /no update of Twinstep/ });
  const cut = bundle(NEW);
  t.match(await send(d, cut.subarray(0, cut.length - 1)), { accepted: false, reason: /ends after \d+ bytes, in the middle of its slot/ });
  t.strictSame(await send(d, bundle(NEW)), { accepted: true, detail: { version: '1.1.0' } });
  t.match(await d.status(), { next: '1.1.0' });
  t.match(log.join('\n'), /begun from the test[\s\S]*refused[\s\S]*1\.1\.0 is being written[\s\S]*1\.1\.0 is installed/);
  await m.start();
  await m.store().markHealthy();
  t.strictSame(await desk(m).desk.rollback(false, 'the test'), { accepted: true, detail: { version: '1.0.0' } });
});

t.test('one upload at a time, its parts in order, and a sender who is gone does not keep it', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const { desk: d } = desk(m, { silenceMs: 100 });
  const data = bundle(NEW);
  const begun = d.begin(data.length, false, 'one');
  const id = begun.accepted ? String(begun.detail?.upload) : '';
  t.match(d.begin(data.length, false, 'two'), { accepted: false, reason: /Another upload is going on/ });
  t.match(await d.part('0badc0de', 0, data), { accepted: false, reason: /no such upload/ });
  t.match(await d.part(id, 5, data.subarray(5, 100)), { accepted: false, reason: /Byte 0 of \d+ comes next/ });
  t.match(await d.part(id, 0, Buffer.concat([data, data])), { accepted: false, reason: /comes next/ });
  t.match(await d.part(id, 0, data.subarray(0, 20_000)), { accepted: true, detail: { received: 20_000 } });
  // Now nothing comes any more: the answer to a part that comes too late says so.
  await new Promise<void>((resolve) => {
    const look = () => (d.begin(1, false, 'three').accepted ? resolve() : setTimeout(look, 20));
    look();
  });
  t.match(await d.part(id, 20_000, data.subarray(20_000)), { accepted: false, reason: /no such upload/ });
  t.match(await m.store().status(), { next: '1.0.0', received: null });
});

t.test('cancelled: nothing is written any more, and the next one may begin at once', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const { desk: d } = desk(m);
  const data = bundle(NEW);
  const begin = (by: string) => {
    const answer = d.begin(data.length, false, by);
    return answer.accepted ? String(answer.detail?.upload) : answer.reason;
  };
  const id = begin('one');
  t.match(await d.status(), { upload: { received: 0, bytes: data.length, by: 'one' } });
  await d.part(id, 0, data.subarray(0, 20_000));
  t.match(await d.status(), { upload: { received: 20_000, bytes: data.length }, isBusy: true });
  t.match(await d.cancel('0badc0de'), { accepted: false, reason: /no such upload/ });
  t.strictSame(await d.cancel(id), { accepted: true });
  t.match(await d.cancel(id), { accepted: false, reason: /no such upload/ }, 'twice');
  t.match(await d.status(), { upload: null, isBusy: false, version: '1.0.0', next: '1.0.0', received: null });
  t.match(await d.part(id, 20_000, data.subarray(20_000)), { accepted: false, reason: /cancelled after 20000 of \d+ bytes/ });
  // While a part is being written.
  const second = begin('two');
  const late = d.part(second, 0, data.subarray(0, 30_000));
  t.strictSame(await d.cancel(second), { accepted: true });
  t.match(await late, { accepted: false, reason: /cancelled/ });
  const third = begin('three');
  const last = d.part(third, 0, data);
  t.match(await d.cancel(third), { accepted: false, reason: /being checked/ }, 'all of it is here');
  t.match(await last, { accepted: true, detail: { version: '1.1.0' } });
  t.match(await d.status(), { next: '1.1.0', upload: null });
});

t.test('what force would do is said to be so, and nothing else', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const { desk: d } = desk(m, { why: 'the workload runs on this CoServer' });
  t.match(await send(d, bundle(version('0.9.0'))), { accepted: false, canForce: true });
  t.match(await send(d, Buffer.alloc(30_000, 'PK')), { accepted: false, canForce: undefined });
  t.match(await d.rollback(false, 'x'), { accepted: false, canForce: undefined, reason: /no other version/ });
  t.match(d.restart(false, 'x', Promise.resolve()), { accepted: false, canForce: true });
});

t.test('a restart is refused with its reason, unless it is forced', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const { desk: d, restarts } = desk(m, { why: 'the workload runs on this CoServer' });
  t.match(d.restart(false, 'x', Promise.resolve()), {
    accepted: false,
    reason: 'This server is not started again: the workload runs on this CoServer.',
  });
  const answered = Promise.withResolvers<void>();
  t.strictSame(d.restart(true, 'x', answered.promise), { accepted: true });
  await Promise.resolve();
  t.equal(restarts.length, 0, 'not before the answer has left');
  answered.resolve();
  await answered.promise;
  t.equal(restarts.length, 1);
});
