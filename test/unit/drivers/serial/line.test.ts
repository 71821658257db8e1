import { once } from 'node:events';
import t from 'tap';
import { FakePort } from '../../../../drivers/serial/fake.ts';
import { openSerialPort } from '../../../../drivers/serial/index.ts';

function line(prepare: (port: FakePort, count: number) => void = () => {}) {
  const ports: FakePort[] = [];
  const log: string[] = [];
  const stream = openSerialPort({
    path: '/dev/ttyS9',
    retryMs: 1,
    log: (text) => log.push(text),
    portOf: () => {
      const port = new FakePort();
      ports.push(port);
      prepare(port, ports.length);
      return port;
    },
  });
  const last = (): FakePort => {
    const port = ports.at(-1);
    if (!port) throw new Error('no port was opened');
    return port;
  };
  return { stream, ports, log, last };
}

const written = (port: FakePort): string => Buffer.concat(port.taken).toString('latin1');

t.test('bytes both ways', async (t) => {
  const l = line();
  t.teardown(() => l.stream.destroy());
  await once(l.stream, 'opened');
  l.stream.write('hello');
  t.equal(written(l.last()), 'hello');
  l.last().deliver('key');
  const [chunk] = (await once(l.stream, 'data')) as [Buffer];
  t.equal(chunk.toString(), 'key');
});

t.test('a missing device is tried again, said once', async (t) => {
  const l = line((port, count) => {
    if (count < 4) port.openError = new Error('No such file or directory');
  });
  t.teardown(() => l.stream.destroy());
  l.stream.write('dropped');
  await once(l.stream, 'opened');
  t.equal(l.ports.length, 4);
  t.strictSame(l.log, [
    'serial line /dev/ttyS9: No such file or directory; trying again until it is there',
    'serial line /dev/ttyS9: open',
  ]);
  t.equal(written(l.last()), '', 'old bytes are not sent late');
});

t.test('a device pulled out with a chunk in it', async (t) => {
  const l = line((port, count) => {
    port.takesAtOnce = count > 1;
  });
  t.teardown(() => l.stream.destroy());
  await once(l.stream, 'opened');
  const done = new Promise<unknown>((resolve) => l.stream.write('x'.repeat(5000), resolve));
  t.equal(l.stream.writableNeedDrain, true);
  l.last().pullOut();
  t.notOk(await done, 'the writer goes on');
  await once(l.stream, 'reopened');
  l.stream.write('new');
  t.equal(written(l.last()), 'new');
  t.equal(l.stream.destroyed, false);
});

t.test('nobody reads: the device is paused, and read again later', async (t) => {
  const l = line();
  t.teardown(() => l.stream.destroy());
  await once(l.stream, 'opened');
  for (let i = 0; i < 10 && !l.last().paused; i++) l.last().deliver('x'.repeat(1000));
  t.equal(l.last().paused, true);
  t.ok(l.stream.readableLength <= 5096, `${l.stream.readableLength} bytes wait`);
  l.stream.resume();
  await once(l.stream, 'data');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(l.last().paused, false);
});

t.test('closed for good', async (t) => {
  const l = line();
  await once(l.stream, 'opened');
  const port = l.last();
  l.stream.destroy();
  await once(l.stream, 'close');
  t.equal(port.isOpen, false);
  t.equal(l.ports.length, 1, 'it is not opened again');
  t.strictSame(l.log, []);
});
