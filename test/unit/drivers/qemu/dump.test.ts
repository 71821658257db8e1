import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FakeMonitor } from '../../../../drivers/qemu/fake.ts';
import { dumpGuestMemory, QmpClient } from '../../../../drivers/qemu/index.ts';

async function makeClient(t: { teardown(f: () => unknown): void }) {
  const folder = mkdtempSync(join(tmpdir(), 'dump-'));
  const monitor = new FakeMonitor(join(folder, 'm'));
  await monitor.listen();
  const client = await QmpClient.connect({ path: monitor.path, name: 'engine', timeoutMs: 2000 });
  t.teardown(async () => {
    client.close();
    await monitor.close();
    rmSync(folder, { recursive: true });
  });
  return { monitor, client };
}

/** Answers as the engine does, and completes as told. */
function answering(monitor: FakeMonitor, formats: unknown, completed: object | null) {
  monitor.answer = ({ name }) => {
    if (name === 'query-dump-guest-memory-capability') return { return: { formats } };
    if (completed) setImmediate(() => monitor.event('DUMP_COMPLETED', completed));
    return { return: {} };
  };
}

t.test('the best format that the engine has; ends when the engine says so', async (t) => {
  const { monitor, client } = await makeClient(t);
  answering(monitor, ['elf', 'kdump-zlib', 'kdump-raw-zlib'], { result: { status: 'completed' } });
  t.equal(await dumpGuestMemory(client, '/d/p', 2000), 'kdump-raw-zlib');
  t.same(monitor.received.at(-1)?.args, { paging: false, protocol: 'file:/d/p', detach: true, format: 'kdump-raw-zlib' });
  answering(monitor, ['elf'], { result: { status: 'completed' } });
  t.equal(await dumpGuestMemory(client, '/d/p', 2000), 'elf');
  answering(monitor, 'nonsense', { result: { status: 'completed' } });
  t.equal(await dumpGuestMemory(client, '/d/p', 2000), 'elf');
});

t.test('what goes wrong is named', async (t) => {
  const { monitor, client } = await makeClient(t);
  answering(monitor, ['elf'], { result: { status: 'failed' }, error: 'dump: failed to save memory' });
  await t.rejects(dumpGuestMemory(client, '/d/p', 2000), { name: 'DumpError', message: 'dump: failed to save memory' });
  answering(monitor, ['elf'], null);
  await t.rejects(dumpGuestMemory(client, '/d/p', 20), { name: 'DumpError', message: /not written within/ });
  monitor.answer = ({ name }) =>
    name === 'dump-guest-memory' ? { error: { class: 'GenericError', desc: 'migration in progress' } } : { return: { formats: ['elf'] } };
  await t.rejects(dumpGuestMemory(client, '/d/p', 2000), { name: 'QapiError', message: /migration in progress/ });
});
