import { once } from 'node:events';
import t from 'tap';
import { fakePair } from '../../../../drivers/link/fake.ts';

t.test('order, cut and mend, window and drain', async (t) => {
  const { a, b, cut, mend } = fakePair({ windowBytes: 10 });
  const seen: string[] = [];
  b.on('message', (m) => seen.push(m.toString()));
  t.equal(a.send(Buffer.from('one'), Buffer.from('!')), true);
  t.equal(a.send(Buffer.from('twotwo')), false);
  await once(a, 'drain');
  t.same(seen, ['one!', 'twotwo']);
  const down: string[] = [];
  b.on('down', (r) => down.push(r));
  cut('cut for the test');
  a.send(Buffer.from('kept'));
  t.equal(a.isUp, false);
  mend();
  await once(b, 'message');
  t.same(seen, ['one!', 'twotwo', 'kept']);
  t.same(down, ['cut for the test']);
});

t.test('hold, release, reset on both sides', async (t) => {
  const { a, b } = fakePair();
  const seen: string[] = [];
  b.on('message', (m) => seen.push(m.toString()));
  b.on('reset', (r) => {
    seen.push(r);
    b.reset();
  });
  a.on('reset', (r) => seen.push(`a: ${r}`));
  a.hold();
  a.send(Buffer.from('lost'));
  a.reset();
  a.send(Buffer.from('kept'));
  await once(b, 'reset');
  a.release();
  await once(b, 'message');
  t.same(seen, ['a: this side ended the session', 'the partner ended the session', 'kept']);
  a.linkVerdict(1, false);
  t.same(a.verdicts, [{ link: 1, up: false }]);
  const down = once(b, 'down');
  setImmediate(() => a.close());
  t.same(await down, ['the partner closed the connection']);
});
