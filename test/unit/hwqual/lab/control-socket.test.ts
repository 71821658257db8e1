import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { labAt } from '../../../../appliance/console/api/lab.ts';
import { askLab, ControlSocket, type LabHandler } from '../../../../hwqual/lab/control-socket.ts';
import { LabError } from '../../../../hwqual/lab/lab-error.ts';

async function withSocket(t: { teardown: (f: () => Promise<void>) => unknown }, handler: LabHandler): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'control-'));
  const path = join(directory, 'control', 'lab.sock');
  const socket = await ControlSocket.listen(path, handler);
  t.teardown(async () => {
    await socket.close();
    rmSync(directory, { recursive: true });
  });
  return path;
}

t.test('question and answer, for root only', async (t) => {
  const path = await withSocket(t, async (r) => ({ did: `${r.action} ${r.target}` }));
  t.equal(statSync(path).mode & 0o777, 0o600);
  const { result, close } = await askLab(path, { action: 'power-off', target: 'A' });
  t.same(result, { did: 'power-off A' });
  close();
});

t.test('a refusal carries its reason and remedy', async (t) => {
  const path = await withSocket(t, async () => {
    throw new LabError('CoServer A has no power', 'npm run lab -- power-on A');
  });
  await t.rejects(askLab(path, { action: 'freeze', target: 'A' }), /CoServer A has no power\n {2}npm run lab -- power-on A/);
});

t.test('the buttons of the web console speak the same', async (t) => {
  const path = await withSocket(t, async ({ action, target }) => {
    if (action !== 'cut-link' || target !== '1') throw new LabError(`the lab does not know "${action}"`);
  });
  t.same(await labAt(path).request({ action: 'cut-link', target: '1' }), { accepted: true });
  t.same(await labAt(path).request({ action: 'dance', target: '' }), { accepted: false, reason: 'the lab does not know "dance"' });
});

t.test('nobody there: what to do is said', async (t) => {
  await t.rejects(askLab('/tmp/there-is-no-such.sock', { action: 'status', target: '' }), /no pair runs here/);
});

t.test('what is no request is answered, what has no end is cut off', async (t) => {
  const path = await withSocket(t, async () => null);
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(path, () => socket.write('rubbish\n'));
    socket.once('data', (d) => {
      resolve(String(d));
      socket.destroy();
    });
  });
  t.match(JSON.parse(answer), { accepted: false });
  await new Promise<void>((resolve) => {
    const socket = connect(path, () => socket.write('x'.repeat(5000)));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve());
  });
  t.pass('cut off');
});

t.test('a long conversation ends when the asker leaves', async (t) => {
  let left: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => {
    left = resolve;
  });
  const path = await withSocket(t, async (_r, closed) => {
    void closed.then(left);
    return '/dev/pts/9';
  });
  const { result, close } = await askLab(path, { action: 'serial', target: 'A' });
  t.equal(result, '/dev/pts/9');
  close();
  await gone;
  t.pass('told');
});
