// The first start in a browser, as a process of the bundled program: an address from a real DHCP server, the code of the screen, a page answered
// through the cable, everything taken back at the end. Needs root. The page itself: test/e2e/first-start-page.test.ts.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildBundle } from '../../image/bundle/build.ts';
import { enterNamespace, ip, OtherEnd } from '../unit/drivers/ethernet/namespace.ts';
import { BUSYBOX, DhcpServer, until, whyNoDhcp } from './dhcp-server.ts';
import { cable, Server } from './setup-pair.ts';

// Slow machines: a busy one needs many times what an idle one does.
t.setTimeout(900_000);
const why = whyNoDhcp();
if (why === false) enterNamespace(import.meta.url);

/** Signs in, reads the page that is asked, answers it; prints what came. Runs where the cable ends. */
const OPERATOR = `
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const [url, code, form] = process.argv.slice(1);
const headers = { 'content-type': 'application/json', 'x-twinstep-console': '1' };
const post = (path, body, more) => fetch(url + path, { method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify(body) });
const refused = await post('api/setup', JSON.parse(form));
const login = await post('api/login', { password: code });
const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
const page = await fetch(url, { headers: { cookie } });
const live = await fetch(url + 'api/live', { headers: { cookie } });
let text = '';
for await (const chunk of live.body.pipeThrough(new TextDecoderStream())) if ((text += chunk).includes('\\n\\n')) break;
const answer = await post('api/setup', JSON.parse(form), { cookie });
const stale = await post('api/setup', JSON.parse(form), { cookie });
console.log(JSON.stringify({ statuses: [refused, login, page, answer, stale].map((r) => r.status), html: await page.text(), view: JSON.parse(/data: (.*)/.exec(text)[1]) }));
process.exit(0);
`;

t.test('a server that nobody has set up', { skip: why }, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'twinstep-setup-browser-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  // The image has it by this name.
  mkdirSync(join(root, 'bin'));
  symlinkSync(BUSYBOX, join(root, 'bin/busybox'));
  process.env.PATH = `${join(root, 'bin')}:${process.env.PATH}`;
  const { program } = await buildBundle({ outDirectory: join(root, 'dist') });
  const b = await OtherEnd.open();
  t.teardown(() => b.close());
  ip('link', 'set', 'lo', 'up');
  cable(b, [
    ['A1', 'B1'],
    ['A4', 'B4'],
  ]);
  b.run('ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'port4');
  for (const nic of ['lo', 'port4']) b.run('ip', 'link', 'set', nic, 'up');
  const dhcp = await DhcpServer.start(b, 'port4', '192.0.2.50', ['subnet 255.255.255.0', 'lease 3600']);
  t.teardown(() => dhcp.close());

  const server = await Server.start('A', join(root, 'A'), b, { program, more: ['--web', 'dhcp'] });
  t.teardown(() => server.kill());
  const [, url = '', code = '', fingerprint = ''] = await server.until(
    /Or in a browser: (https:\/\/192\.0\.2\.50\/), with the code (\S+)\. It warns once; the certificate's fingerprint must be ([0-9A-F: ]+)\./,
  );
  t.equal(fingerprint.replaceAll(' ', '').length, 95, 'whole on the screen');
  t.match(ip('-4', 'addr', 'show', 'dev', 'port4'), /192\.0\.2\.50\/24/);
  const form = JSON.stringify({ page: 'server', values: { coServer: 'B' }, turn: 'on' });
  const said = JSON.parse(
    b.run(process.execPath, '--no-warnings', '--input-type=module', '-e', OPERATOR, '--', url, code.toUpperCase(), form),
  );
  t.strictSame(said.statuses, [401, 200, 200, 200, 409], 'not without the code; a page counts once');
  t.match(said.html, /Twinstep: first start/);
  t.match(said.view, { page: 'server', step: 1, fields: [{ id: 'coServer', kind: 'choice' }] });
  t.notMatch(JSON.stringify(said.view), new RegExp(code), 'the code is not in the page');
  await server.until(/CoServer B First start: network ports/);
  await server.untilLog(/sign-in from 192\.0\.2\.1: accepted/);
  t.notMatch(server.log, new RegExp(code, 'i'), 'nor in the log');

  // The cable is moved to where nobody gives addresses, and back.
  server.type('\x03');
  b.run('ip', 'link', 'set', 'port4', 'down');
  await server.until(/as soon as a DHCP server gives one of the ports an address/);
  b.run('ip', 'link', 'set', 'port4', 'up');
  await server.until(/Or in a browser: https:\/\/192\.0\.2\.50\/, with the code/);

  writeFileSync(join(server.folder, 'state/config.yaml'), 'coServer: A\n');
  t.equal(await server.ended, 0, server.log);
  t.notMatch(ip('-4', 'addr', 'show', 'dev', 'port4'), /192\.0\.2\.50/, 'what comes next finds the port as it was');
  await until('the address is given back', () => !/192\.0\.2\.50/.test(dhcp.notes()) || /expired/.test(dhcp.notes()));
  t.pass('given back');
});
