import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FakeMonitor } from '../../../../drivers/qemu/fake.ts';
import { QapiError, QmpClient, QmpConnectionError, QmpTimeoutError } from '../../../../drivers/qemu/index.ts';

async function withMonitor(body: (monitor: FakeMonitor, path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'qmp-'));
  const monitor = new FakeMonitor(join(directory, 'm'));
  try {
    await body(monitor, monitor.path);
  } finally {
    await monitor.close();
    rmSync(directory, { recursive: true });
  }
}

async function connected(monitor: FakeMonitor): Promise<QmpClient> {
  await monitor.listen();
  return QmpClient.connect({ path: monitor.path, name: 'engine', timeoutMs: 2000 });
}

t.test('greeting, capabilities, commands', async (t) => {
  await withMonitor(async (monitor) => {
    const client = await connected(monitor);
    t.same(client.version, { major: 11, minor: 1, micro: 3, package: 'fake' });
    t.same(monitor.received, [{ how: 'execute', name: 'qmp_capabilities', args: { enable: ['oob'] } }]);
    monitor.answer = ({ name, args }) => ({ return: { name, args } });
    t.same(await client.execute('query-status'), { name: 'query-status' });
    t.same(await client.execute('stop', { a: 1 }), { name: 'stop', args: { a: 1 } });
    await client.executeOob('yank', { instances: [] });
    t.equal(monitor.received.at(-1)?.how, 'exec-oob');
    client.close();
    await t.rejects(client.execute('stop'), { name: 'QmpConnectionError', message: /closed by us/ });
  });
});

t.test('a command that is not answered ends after the time that the client was given', async (t) => {
  await withMonitor(async (monitor) => {
    await monitor.listen();
    const client = await QmpClient.connect({ path: monitor.path, name: 'engine', timeoutMs: 20_000, answerWithinMs: 30 });
    monitor.answer = () => 'silence';
    await t.rejects(client.execute('query-status'), { name: 'QmpTimeoutError', message: /'query-status' was not answered within 30 ms/ });
    client.close();
  });
});

t.test('the socket may appear later, until the time is over', async (t) => {
  await withMonitor(async (monitor) => {
    const waiting = QmpClient.connect({ path: monitor.path, name: 'engine', timeoutMs: 5000 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    await monitor.listen();
    (await waiting).close();
  });
  await t.rejects(QmpClient.connect({ path: '/tmp/no such socket', name: 'engine B', timeoutMs: 80 }), {
    name: 'QmpConnectionError',
    message: /engine B: no monitor at \/tmp\/no such socket within 80 ms: .*ENOENT/,
  });
});

t.test('no greeting, or something else than QMP: an error in time', async (t) => {
  await withMonitor(async (monitor) => {
    monitor.greeting = undefined;
    await monitor.listen();
    await t.rejects(QmpClient.connect({ path: monitor.path, name: 'e', timeoutMs: 100 }), { message: /no greeting/ });
    monitor.greeting = 'SSH-2.0-OpenSSH_9.2';
    await t.rejects(QmpClient.connect({ path: monitor.path, name: 'e', timeoutMs: 100 }), { message: /not a QMP monitor: not JSON: SSH/ });
  });
});

t.test('every command has a time-out, and its late answer disturbs nobody', async (t) => {
  await withMonitor(async (monitor) => {
    const client = await connected(monitor);
    monitor.answer = () => 'silence';
    await t.rejects(client.execute('migrate', {}, { timeoutMs: 30 }), QmpTimeoutError);
    monitor.raw(`${JSON.stringify({ return: 'late', id: 2 })}\r\n`);
    monitor.answer = () => ({ return: 'in time' });
    t.equal(await client.execute('query-status'), 'in time');
    client.close();
  });
});

t.test('a refusal names command, class and reason', async (t) => {
  await withMonitor(async (monitor) => {
    const client = await connected(monitor);
    monitor.answer = () => ({ error: { class: 'CommandNotFound', desc: 'The command foo has not been found' } });
    const error = await client.execute('foo').then(
      () => undefined,
      (e: unknown) => e,
    );
    t.type(error, QapiError);
    t.match(error, {
      command: 'foo',
      errorClass: 'CommandNotFound',
      message: "engine refused 'foo': The command foo has not been found (CommandNotFound)",
    });
    client.close();
  });
});

t.test('events: typed, by name, awaited', async (t) => {
  await withMonitor(async (monitor) => {
    const client = await connected(monitor);
    const seen: string[] = [];
    client.on('event', (e) => seen.push(e.name));
    client.on('COLO_EXIT', (e) => seen.push(`exit ${String(e.data.reason)} at ${e.timestampMs}`));
    const waited = client.waitEvent('COLO_EXIT', { timeoutMs: 2000, accept: (e) => e.data.mode === 'primary' });
    monitor.event('STOP');
    monitor.event('COLO_EXIT', { mode: 'secondary', reason: 'request' });
    monitor.event('NEVER_HEARD_OF');
    monitor.event('COLO_EXIT', { mode: 'primary', reason: 'error' });
    t.match(await waited, { data: { mode: 'primary' } });
    t.same(seen, ['STOP', 'exit request at 1500', 'COLO_EXIT', 'NEVER_HEARD_OF', 'exit error at 1500', 'COLO_EXIT']);
    await t.rejects(client.waitEvent('RESUME', { timeoutMs: 20 }), { name: 'QmpTimeoutError', message: /no event RESUME within 20 ms/ });
    client.close();
  });
});

t.test('a lost connection rejects all that waits, and is reported once', async (t) => {
  await withMonitor(async (monitor) => {
    const client = await connected(monitor);
    const reasons: string[] = [];
    client.on('close', (reason) => reasons.push(reason));
    monitor.answer = ({ name }) => (name === 'quit' ? 'hang up' : 'silence');
    const failures = await Promise.allSettled([
      client.execute('stop'),
      client.waitEvent('STOP', { timeoutMs: 5000 }),
      client.execute('quit'),
    ]);
    for (const failure of failures) t.match(failure, { status: 'rejected', reason: QmpConnectionError });
    t.equal(reasons.length, 1);
    t.equal(client.isClosed, true);
  });
});

t.test('several clients, one engine: one blocked monitor does not hold the other', async (t) => {
  await withMonitor(async (monitor) => {
    const first = await connected(monitor);
    const second = await QmpClient.connect({ path: monitor.path, name: 'second', timeoutMs: 2000 });
    monitor.answer = ({ name }) => (name === 'slow' ? 'silence' : { return: {} });
    const slow = first.execute('slow', {}, { timeoutMs: 200 });
    slow.catch(() => {});
    t.same(await second.execute('fast'), {});
    await t.rejects(slow, QmpTimeoutError);
    first.close();
    second.close();
  });
});
