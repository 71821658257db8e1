// The server of the first start's page: who gets in, what it takes, and its last word.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventDecoder } from '../../../../appliance/console/api/event-stream.ts';
import type { SetupForm } from '../../../../appliance/setup/state.ts';
import { WebAccessHost, webPlaceOf } from '../../../../appliance/setup/web-access.ts';
import { startSetupWeb } from '../../../../appliance/setup/web-server.ts';
import { setupView } from '../../../../appliance/setup/web-view.ts';
import { call, freePort, post } from '../console/api/harness.ts';
import { Dialogue } from './two-dialogues.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

const webRoot = mkdtempSync(join(tmpdir(), 'setup-web-'));
t.teardown(() => rmSync(webRoot, { recursive: true }));
mkdirSync(join(webRoot, 'page'));
writeFileSync(join(webRoot, 'page/index.html'), '<p>here it is</p>');

async function server() {
  const dialogue = new Dialogue('a');
  const log: string[] = [];
  const port = await freePort();
  const host = {
    view: () => setupView(dialogue.state, dialogue.facts),
    form: (form: SetupForm) => {
      if (form.page !== dialogue.state.page) return false;
      dialogue.feed({ kind: 'form', form });
      return true;
    },
    onChange: () => () => undefined,
  };
  const web = await startSetupWeb({ host, address: '127.0.0.1', port, webRoot: join(webRoot, 'page'), log: (line) => log.push(line) });
  const signIn = async (code: string) => {
    const answer = await call(port, post('/api/login', { password: code }));
    return { status: answer.status, cookie: answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '' };
  };
  const answer = (cookie: string, form: object) => call(port, post('/api/setup', form, { cookie }));
  return { dialogue, log, port, web, signIn, answer };
}

const FORM = { page: 'server', values: { coServer: 'B' }, turn: 'on' };

t.test('nobody without the code, nobody by trying, and no word of it in the log', async (t) => {
  const { dialogue, log, port, web, signIn, answer } = await server();
  t.teardown(() => web.close());
  t.match((await call(port, { path: '/' })).text, /here it is/, 'the page itself is for everybody');
  for (const path of ['/api/live', '/api/setup']) t.equal((await call(port, { path })).status, path === '/api/live' ? 401 : 404);
  t.equal((await answer('', FORM)).status, 401);
  t.equal(dialogue.state.page, 'server');
  t.equal((await signIn(web.code.toUpperCase().replace('-', ' '))).status, 200);
  const statuses: number[] = [];
  for (const code of ['0000-0000', web.code.slice(0, -1), `${web.code}0`, '-', 'ÿ'.repeat(8), web.code])
    statuses.push((await signIn(code)).status);
  t.strictSame(statuses, [401, 401, 401, 401, 401, 429], 'also the right one has to wait then');
  t.notMatch(log.join('\n'), new RegExp(web.code));
  t.match(log.join('\n'), /sign-in from 127\.0\.0\.1: wrong code/);
});

t.test('each start has its own code and certificate', async (t) => {
  const [one, two] = [await server(), await server()];
  t.teardown(() => Promise.all([one.web.close(), two.web.close()]));
  t.not(one.web.code, two.web.code);
  t.not(one.web.fingerprint, two.web.fingerprint);
  t.match(one.web.code, /^[0-9a-z]{4}-[0-9a-z]{4}$/);
});

t.test('forms of another shape, of other pages, from other pages', async (t) => {
  const { dialogue, port, web, signIn, answer } = await server();
  t.teardown(() => web.close());
  const { cookie } = await signIn(web.code);
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`x${i}`, '']));
  const wrong = [
    { ...FORM, page: 'nowhere' },
    { ...FORM, turn: 'over' },
    { ...FORM, values: { coServer: 1 } },
    { ...FORM, values: many },
    { ...FORM, more: 1 },
    {},
  ];
  for (const form of wrong) t.equal((await answer(cookie, form)).status, 400, JSON.stringify(form).slice(0, 80));
  t.equal((await answer(cookie, { ...FORM, values: { coServer: 'x'.repeat(9000) } })).status, 413);
  t.match(await answer(cookie, { ...FORM, page: 'ports' }), { status: 409, text: /Another page is asked by now/ });
  const foreign = post('/api/setup', FORM, { cookie, origin: 'https://elsewhere.example' });
  t.equal((await call(port, foreign)).status, 403);
  t.strictSame(dialogue.state.values, {}, 'nothing of all that counts');
  t.equal((await answer(cookie, FORM)).status, 200);
  t.match([dialogue.state.page, dialogue.state.values], ['ports', { coServer: 'B' }]);
});

t.test('that it is written is the last thing that a page hears', async (t) => {
  const { dialogue, port, web, signIn } = await server();
  const { cookie } = await signIn(web.code);
  const pages: string[] = [];
  const heard = Promise.withResolvers<void>();
  const ended = new Promise<void>((resolve, reject) => {
    const live = request({ host: '127.0.0.1', port, path: '/api/live', headers: { cookie }, rejectUnauthorized: false, agent: false });
    live.once('error', reject).once('response', (response) => {
      const decode = eventDecoder();
      response.setEncoding('utf8').on('data', (text: string) => {
        for (const { data } of decode(text)) pages.push((JSON.parse(data) as { page: string }).page);
        heard.resolve();
      });
      response.once('end', resolve);
    });
    live.end();
  });
  await heard.promise;
  dialogue.state = { ...dialogue.state, page: 'done' };
  await web.close();
  await ended;
  t.strictSame([pages[0], pages.at(-1)], ['server', 'done']);
});

t.test('where a browser may come, and what is said when nothing can listen there', async (t) => {
  t.strictSame(webPlaceOf('dhcp'), { fixed: null });
  t.strictSame(webPlaceOf('127.0.0.1:8443'), { fixed: { address: '127.0.0.1', port: 8443 } });
  for (const wrong of ['', 'DHCP', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:65536', '1.2.3.4.5:1', 'host:443', '::1:443'])
    t.equal(webPlaceOf(wrong), undefined, wrong);
  const { port, web } = await server();
  const log: string[] = [];
  const told: unknown[] = [];
  const dialogue = new Dialogue('b');
  const host = {
    view: () => setupView(dialogue.state, dialogue.facts),
    form: () => false,
    onChange: () => () => undefined,
    nics: () => [],
    setWeb: (w: unknown) => told.push(w),
  };
  const place = { fixed: { address: '127.0.0.1', port } };
  const second = new WebAccessHost({ host, place, webRoot: join(webRoot, 'page'), runFolder: webRoot, log: (line) => log.push(line) });
  await second.start();
  t.match(log, [/^the first start in a browser is not there: .*port \d+ on 127\.0\.0\.1 is used by another program/]);
  t.strictSame(told, [], 'no console says a way in that is none');
  await second.close();
  await web.close();
});
