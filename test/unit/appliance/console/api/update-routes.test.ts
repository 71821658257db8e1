import t from 'tap';
import { UploadDesk } from '../../../../../appliance/update/upload.ts';
import { bundle, folderFor, Machine, version } from '../../update/machine.ts';
import { call, harness, OURS, post, signIn } from './harness.ts';

t.setTimeout(120_000);

const NEW = version('1.1.0');

function setUp(t: { teardown(f: () => void): void }) {
  const m = Machine.make([version('1.0.0')], folderFor(t));
  const desk = new UploadDesk({
    store: m.store(),
    whyNotRestart: () => 'the workload runs here',
    prepareRestart: () => () => {},
    log: () => {},
  });
  return harness({ updates: desk });
}

t.test('an update, part by part, with a session', async (t) => {
  const h = await setUp(t);
  t.teardown(() => h.close());
  const data = bundle(NEW);
  const part = (upload: string, at: number, headers: Record<string, string>, body: Buffer = data.subarray(at, at + 30_000)) => ({
    method: 'POST',
    path: `/api/update/parts/${upload}/${at}`,
    headers: { ...OURS, 'content-type': 'application/octet-stream', ...headers },
    body,
  });
  t.equal((await call(h.port, post('/api/update', { bytes: data.length }))).status, 401);
  t.equal((await call(h.port, { path: '/api/update' })).status, 401);
  const cookie = await signIn(h.port);
  t.match(JSON.parse((await call(h.port, { path: '/api/update', headers: { cookie } })).text), { version: '1.0.0', next: '1.0.0' });
  for (const body of [{}, { bytes: 0 }, { bytes: '9' }, { bytes: 1, x: 1 }])
    t.equal((await call(h.port, post('/api/update', body, { cookie }))).status, 400);
  const begun = await call(h.port, post('/api/update', { bytes: data.length }, { cookie }));
  const upload = String(JSON.parse(begun.text).detail.upload);
  t.equal((await call(h.port, part(upload, 0, {}))).status, 401, 'a part needs the session');
  const foreign = part(upload, 0, { cookie });
  t.equal(
    (await call(h.port, { ...foreign, headers: { cookie, 'content-type': 'application/octet-stream' } })).status,
    403,
    "a part needs our page's header",
  );
  t.equal((await call(h.port, part(upload, 0, { cookie, 'content-type': 'application/json' }, Buffer.from('{}')))).status, 415);
  t.equal((await call(h.port, part(upload, 0, { cookie }, Buffer.alloc((1 << 20) + 1)))).status, 413);
  t.equal((await call(h.port, part(upload, 7, { cookie }))).status, 409);
  let last = '';
  for (let at = 0; at < data.length; at += 30_000) {
    const answer = await call(h.port, part(upload, at, { cookie }));
    t.equal(answer.status, 200, answer.text);
    last = answer.text;
  }
  t.strictSame(JSON.parse(last), { accepted: true, detail: { version: '1.1.0' } });
  t.match(JSON.parse((await call(h.port, { path: '/api/update', headers: { cookie } })).text), { next: '1.1.0' });
  const restart = await call(h.port, post('/api/update/restart', {}, { cookie }));
  t.match({ status: restart.status, text: restart.text }, { status: 409, text: /the workload runs here/ });
  t.equal((await call(h.port, post('/api/update/explode', {}, { cookie }))).status, 400);
  t.equal(
    (
      await call(h.port, {
        ...post('/api/actions/move-workload', {}, { cookie }),
        headers: { ...OURS, cookie, 'content-type': 'application/octet-stream' },
      })
    ).status,
    415,
    'bytes are for parts only',
  );
});

t.test('where nothing was started from an image there are no updates', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const cookie = await signIn(h.port);
  t.equal((await call(h.port, { path: '/api/update', headers: { cookie } })).status, 404);
});
