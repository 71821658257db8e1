import { stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { labAt, startConsoleServer } from '../../../../../appliance/console/api/index.ts';
import { duplex, holding } from '../fixtures.ts';
import { call, freePort, harness, OURS, PASSWORD, post, signIn } from './harness.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

const reason = (text: string): string => String((JSON.parse(text) as { reason?: unknown }).reason);

t.test('facts and actions need a session, the page does not', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  t.equal((await call(h.port, { path: '/' })).status, 200);
  for (const path of [
    '/api/snapshot',
    '/api/live',
    '/api/snapshot?x=/api/login',
    '//api/snapshot',
    '/api/../api/snapshot',
    '/api/%73napshot',
  ]) {
    const answer = await call(h.port, { path });
    t.ok(answer.status >= 400, `${path}: ${answer.status}`);
    t.notMatch(answer.text, 'duplex', path);
  }
  t.equal((await call(h.port, { method: 'HEAD', path: '/api/snapshot' })).status, 401);
  t.equal((await call(h.port, post('/api/actions/move-workload', {}))).status, 401);
  const cookie = await signIn(h.port);
  const answer = await call(h.port, { path: '/api/snapshot', headers: { cookie } });
  t.equal(answer.status, 200);
  t.strictSame(JSON.parse(answer.text), JSON.parse(JSON.stringify(duplex())));
  t.equal((await call(h.port, { path: '/api/snapshot', headers: { cookie: `${cookie}x` } })).status, 401);
  t.equal((await call(h.port, { ...post('/api/logout', {}, { cookie }) })).status, 200);
  t.equal((await call(h.port, { path: '/api/snapshot', headers: { cookie } })).status, 401, 'signed out');
});

t.test('the cookie and the headers protect the page', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const login = await call(h.port, post('/api/login', { password: PASSWORD }));
  t.match(
    login.headers['set-cookie']?.[0],
    /^__Host-twinstep-A=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict; Max-Age=43200$/,
  );
  for (const path of ['/', '/api/snapshot', '/nothing']) {
    const { headers } = await call(h.port, { path });
    t.match(headers, { 'x-frame-options': 'DENY', 'strict-transport-security': /max-age=/, 'x-content-type-options': 'nosniff' }, path);
    t.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
    t.notMatch(String(headers['content-security-policy']), /unsafe/);
    t.equal(headers['access-control-allow-origin'], undefined);
  }
});

t.test('a session ends after its time', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const cookie = await signIn(h.port);
  h.sleep(11 * 3600_000);
  t.equal((await call(h.port, { path: '/api/snapshot', headers: { cookie } })).status, 200);
  h.sleep(3600_001);
  t.equal((await call(h.port, { path: '/api/snapshot', headers: { cookie } })).status, 401);
});

t.test('wrong passwords: refused, slowed down, forgiven after a right one; none reaches the log', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  for (let i = 0; i < 5; i++) t.equal((await call(h.port, post('/api/login', { password: `secret-guess-${i}` }))).status, 401);
  const refused = await call(h.port, post('/api/login', { password: PASSWORD }));
  t.equal(refused.status, 429, 'also the right one must wait');
  t.equal(refused.headers['retry-after'], '1');
  t.match(reason(refused.text), /try again in 1 s/);
  h.sleep(1100);
  t.equal((await call(h.port, post('/api/login', { password: 'secret-guess-6' }))).status, 401);
  t.equal((await call(h.port, post('/api/login', { password: PASSWORD }))).headers['retry-after'], '2');
  h.sleep(2100);
  await signIn(h.port);
  t.equal((await call(h.port, post('/api/login', { password: 'secret-guess-7' }))).status, 401, 'the count starts anew');
  t.notMatch(h.log.join('\n'), /secret-guess|correct horse/);
  t.match(h.log.join('\n'), /sign-in from 127\.0\.0\.1: wrong password/);
});

t.test('many guesses at once do not slip through', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const answers = await Promise.all(Array.from({ length: 20 }, () => call(h.port, post('/api/login', { password: 'guess' }))));
  const statuses = answers.map((a) => a.status);
  t.ok(statuses.filter((s) => s === 401).length <= 5, statuses.join(' '));
  t.ok(statuses.every((s) => s === 401 || s === 429));
});

t.test('hostile bodies', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  for (const body of [
    '',
    '[]',
    '{}',
    '{"password":1}',
    '{"password":""}',
    `{"password":"${'x'.repeat(257)}"}`,
    '{"password":"a","more":1}',
    '{',
    'null',
  ])
    t.equal((await call(h.port, { method: 'POST', path: '/api/login', headers: OURS, body })).status, 400, body.slice(0, 40));
  t.equal((await call(h.port, { method: 'POST', path: '/api/login', headers: OURS, body: 'x'.repeat(9000) })).status, 413);
  t.equal(
    (await call(h.port, { method: 'POST', path: '/api/login', headers: { ...OURS, 'content-type': 'text/plain' }, body: '{}' })).status,
    415,
  );
  t.equal((await call(h.port, { path: '/%00' })).status >= 400, true);
  await symlink('/etc/passwd', join(h.directory, 'link')).catch(() => {});
  t.notMatch((await call(h.port, { path: '/..%2f..%2f..%2f..%2fetc/passwd' })).text, 'root:');
});

t.test('no password set: nobody signs in', async (t) => {
  const h = await harness({ passwordHash: '' });
  t.teardown(() => h.close());
  const answer = await call(h.port, post('/api/login', { password: 'x' }));
  t.equal(answer.status, 403);
  t.match(reason(answer.text), /console\.passwordHash/);
});

t.test('other pages cannot act with the operator’s session', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const cookie = await signIn(h.port);
  const own = `https://127.0.0.1:${h.port}`;
  const action = post('/api/actions/move-workload', { args: { force: true } }, { cookie });
  t.equal((await call(h.port, { ...action, headers: { ...action.headers, origin: 'https://evil.example' } })).status, 403);
  t.equal((await call(h.port, { ...action, headers: { ...action.headers, origin: 'null' } })).status, 403);
  t.equal((await call(h.port, { ...action, headers: { ...action.headers, 'sec-fetch-site': 'same-site' } })).status, 403);
  t.equal((await call(h.port, { ...action, headers: { cookie, 'content-type': 'application/json' } })).status, 403, 'without our header');
  t.equal(
    (await call(h.port, { ...action, headers: { cookie, 'content-type': 'application/x-www-form-urlencoded', 'x-twinstep-console': '1' } }))
      .status,
    415,
  );
  t.strictSame(h.asked, []);
  t.equal((await call(h.port, { ...action, headers: { ...action.headers, origin: own, 'sec-fetch-site': 'same-origin' } })).status, 200);
  t.strictSame(h.asked, [{ action: 'move-workload', args: { force: true }, by: 'the web console, 127.0.0.1' }]);
});

t.test('actions: refusals carry the reason, unknown names and odd arguments are named', async (t) => {
  const h = await harness({ answer: { accepted: false, reason: 'A is not there.' } });
  t.teardown(() => h.close());
  const refused = await call(h.socketPath, post('/api/actions/move-workload', {}));
  t.equal(refused.status, 409);
  t.strictSame(JSON.parse(refused.text), { accepted: false, reason: 'A is not there.' });
  const unknown = await call(h.socketPath, post('/api/actions/explode', {}));
  t.equal(unknown.status, 404);
  t.match(reason(unknown.text), /move-workload, force-start/);
  t.equal((await call(h.socketPath, post('/api/actions/move-workload', { args: { deep: {} } }))).status, 400);
  t.equal((await call(h.socketPath, post('/api/actions/__proto__', {}))).status, 400);
  t.match(h.log.join('\n'), 'action move-workload from the local socket: refused: A is not there.');
});

t.test('an action that can lose data: refused without its word, so that no slip and no script forces anything', async (t) => {
  const h = await harness({ first: holding() });
  t.teardown(() => h.close());
  for (const body of [{}, { typed: '' }, { typed: 'yes' }, { typed: 'Force' }, { args: { typed: 'force' } }]) {
    const answer = await call(h.socketPath, post('/api/actions/force-start', body));
    t.equal(answer.status, 422, JSON.stringify(body));
    t.match(reason(answer.text), /needs the word 'force' with the request[\s\S]*two histories/);
  }
  t.equal((await call(h.socketPath, post('/api/actions/force-start', { typed: 7 }))).status, 400);
  t.equal((await call(h.socketPath, post('/api/actions/force-start', { typed: 'x'.repeat(65) }))).status, 400);
  t.strictSame(h.asked, []);
  t.match(h.log.join('\n'), /action force-start from the local socket: refused: "Start here by force" needs the word/);
  t.equal((await call(h.socketPath, post('/api/actions/force-start', { typed: 'force' }))).status, 200);
  const cookie = await signIn(h.port);
  t.equal((await call(h.port, post('/api/actions/force-start', {}, { cookie }))).status, 422, 'over TLS too');
  t.strictSame(h.asked, [{ action: 'force-start', args: {}, by: 'the local socket' }]);
});

t.test('the local socket: 0600, no password, one process, stale names replaced', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const s = await stat(h.socketPath);
  t.ok(s.isSocket());
  t.equal(s.mode & 0o777, 0o600);
  t.equal((await call(h.socketPath, { path: '/api/snapshot' })).status, 200);
  t.equal((await call(h.socketPath, post('/api/login', { password: 'x' }))).status, 404, 'there is nothing to sign in to');
  const again = {
    snapshot: duplex,
    onChange: () => () => {},
    request: async () => ({ accepted: true as const }),
    config: { port: 0, address: '127.0.0.1', passwordHash: '', socketPath: h.socketPath },
    tls: { key: '', cert: '' },
    webRoot: h.directory,
  };
  await t.rejects(startConsoleServer(again), /console\.sock: another process answers.*running already/);
  t.equal((await call(h.socketPath, { path: '/api/snapshot' })).status, 200, 'the first one still answers');
  const stale = join(h.directory, 'stale.sock');
  await writeFile(stale, '');
  const second = await startConsoleServer({ ...again, config: { ...again.config, socketPath: stale } });
  t.equal(second.url, null);
  t.equal((await call(stale, { path: '/api/snapshot' })).status, 200);
  await second.close();
  await t.rejects(stat(stale), { code: 'ENOENT' });
  const long = join(h.directory, `${'x'.repeat(120)}.sock`);
  await t.rejects(startConsoleServer({ ...again, config: { ...again.config, socketPath: long } }), /107 bytes/);
  await t.rejects(
    startConsoleServer({ ...again, config: { ...again.config, socketPath: '/nowhere/at/all.sock' } }),
    /create \/nowhere\/at or set console\.socket/,
  );
});

t.test('what cannot start says why and leaves nothing behind', async (t) => {
  const h = await harness();
  t.teardown(() => h.close());
  const socketPath = join(h.directory, 'other.sock');
  const base = {
    snapshot: duplex,
    onChange: () => () => {},
    request: async () => ({ accepted: true as const }),
    config: { port: h.port, address: '127.0.0.1', passwordHash: '', socketPath },
    tls: { key: '', cert: '' },
    webRoot: h.directory,
  };
  await t.rejects(startConsoleServer(base), /port \d+ on 127\.0\.0\.1 is used by another program: stop it or set console\.port/);
  const port = await freePort();
  await t.rejects(startConsoleServer({ ...base, config: { ...base.config, port, address: '203.0.113.9' } }), /no address 203\.0\.113\.9/);
  await t.rejects(
    startConsoleServer({ ...base, config: { ...base.config, port }, webRoot: '/nowhere' }),
    /no index\.html in \/nowhere.*npm run build/,
  );
  await t.rejects(startConsoleServer({ ...base, config: { ...base.config, port, passwordHash: 'plain' } }), /not an argon2id hash/);
  await t.rejects(stat(socketPath), { code: 'ENOENT' });
});

t.test('lab buttons exist in the lab only, and pass what the lab answers', async (t) => {
  const without = await harness();
  t.teardown(() => without.close());
  t.equal((await call(without.socketPath, post('/api/lab/power-off', { target: 'A' }))).status, 404);

  const lines: string[] = [];
  const lab = createServer((socket) => {
    socket.setEncoding('utf8');
    socket.on('data', (line: string) => {
      lines.push(line);
      socket.end(
        line.includes('freeze') ? '{"accepted":false,"reason":"B is off"}\n' : line.includes('thaw') ? 'what?\n' : '{"accepted":true}\n',
      );
    });
  });
  const labSocket = join(without.directory, 'lab.sock');
  await new Promise<void>((resolve) => lab.listen(labSocket, resolve));
  t.teardown(() => lab.close());
  const h = await harness({ lab: labAt(labSocket) });
  t.teardown(() => h.close());
  t.equal((await call(h.socketPath, post('/api/lab/power-off', { target: 'A' }))).status, 200);
  t.strictSame(lines, ['{"action":"power-off","target":"A"}\n']);
  const frozen = await call(h.socketPath, post('/api/lab/freeze', { target: 'B' }));
  t.strictSame([frozen.status, reason(frozen.text)], [409, 'B is off']);
  t.match(reason((await call(h.socketPath, post('/api/lab/thaw', { target: 'B' }))).text), /not understood: what\?/);
  t.match(reason((await call(h.socketPath, post('/api/lab/cut-link', { target: 'A' }))).text), /acts on 1 or 2/);
  t.match(reason((await call(h.socketPath, post('/api/lab/constructor', { target: 'A' }))).text), /has no 'constructor'/);
  t.strictSame(await labAt(join(without.directory, 'gone.sock')).request({ action: 'thaw', target: 'A' }), {
    accepted: false,
    reason: 'the lab does not answer (ENOENT): is it still running?',
  });
  t.equal((await call(h.port, post('/api/lab/power-off', { target: 'A' }))).status, 401, 'over TLS with a session only');
});
