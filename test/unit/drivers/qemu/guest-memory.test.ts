import t from 'tap';
import { EngineError, findGuestMemory } from '../../../../drivers/qemu/index.ts';

t.test('a process without such a file, and none', async (t) => {
  t.equal(await findGuestMemory(process.pid), undefined);
  await t.rejects(findGuestMemory(2 ** 22 + 1), EngineError);
  await t.rejects(findGuestMemory(2 ** 22 + 1), /cannot look for the guest's RAM in \/proc\/4194305\/fd/);
});
