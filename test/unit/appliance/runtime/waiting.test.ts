import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { waitForConfiguration, waitingScreen } from '../../../../appliance/runtime/waiting.ts';

t.test('every console says why, again at a key, until there is a configuration', async (t) => {
  const config = join(t.testdir(), 'config.yaml');
  const lines: { line: PassThrough; said: () => string }[] = [];
  const open = () => {
    let said = '';
    const line = new PassThrough();
    line.write = ((text: string) => {
      said += text;
      return true;
    }) as PassThrough['write'];
    lines.push({ line, said: () => said });
    return line;
  };
  let isOver = false;
  const over = waitForConfiguration({
    config,
    consoles: ['/dev/ttyS0', '/dev/tty1'],
    reason: 'This CoServer has no configuration yet.',
    version: '1.2.3',
    log: () => {},
    open,
  }).then(() => {
    isOver = true;
  });
  t.equal(lines.length, 2);
  for (const { line, said } of lines) {
    t.equal(said(), '', 'nothing is written to a device that is not open');
    line.emit('opened');
    t.match(said(), /no configuration yet/);
    line.emit('data', Buffer.from('\r'));
    t.equal(said().split('no configuration yet').length, 3, 'twice');
  }
  writeFileSync(config, '');
  t.equal(isOver, false, 'an empty file is one that is being written');
  writeFileSync(`${config}.new`, 'coServer: A\n');
  renameSync(`${config}.new`, config);
  await over;
  for (const { line } of lines) t.ok(line.destroyed);
});

t.test('the screen: 80 columns, and a line of the log cannot command the terminal', async (t) => {
  const reason = `fatal: \x1b[2Jbad\x07 ${'word '.repeat(60)}${'x'.repeat(200)}`;
  const screen = waitingScreen({ version: '1.2.3', reason, config: '/var/lib/twinstep/config.yaml' });
  const body = screen.slice('\x1b[0m\x1b[2J\x1b[H'.length);
  for (const control of ['\x07', '\x1b']) t.notOk(body.includes(control));
  for (const row of body.split('\r\n')) t.ok(row.length <= 80);
  t.ok(body.split('\r\n').length <= 24);
  t.match(body, /bad/);
});
