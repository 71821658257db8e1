// Which witness is asked changes while the process runs: what the one before says late counts no more, and between two of them none grants.
import t from 'tap';
import { WitnessSight } from '../../../../../appliance/runtime/sources/witness-sight.ts';
import { freePort } from '../../console/api/harness.ts';

t.test('left, nowhere, at another one', async (t) => {
  const [first, second] = [await freePort(), await freePort()];
  const seen: string[] = [];
  let look = () => {};
  const sight = new WitnessSight({
    address: '127.0.0.1',
    port: first,
    pairId: '3c'.repeat(16),
    pairKey: Buffer.alloc(32, 7),
    coServer: 'A',
    incarnation: 'aa'.repeat(8),
    observed: (usable, reason) => {
      seen.push(`${usable} ${reason}`);
      look();
    },
  });
  t.teardown(() => sight.close());
  const said = (pattern: RegExp): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (seen.some((s) => pattern.test(s))) resolve();
      };
      look();
    });
  await said(new RegExp(`^false .*127\\.0\\.0\\.1:${first} is not reachable`));
  sight.moveTo(null);
  t.equal(seen.at(-1), 'false the witness is being changed');
  await t.rejects(sight.claim(1), /being changed/);
  seen.length = 0;
  sight.moveTo({ address: '127.0.0.1', port: second });
  sight.setReport({ generation: 1, state: 'duplex' });
  await said(new RegExp(`127\\.0\\.0\\.1:${second} is not reachable`));
  t.notMatch(seen.join('\n'), new RegExp(`:${first} `), 'the first one is heard no more');
});
