import { mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseTrapOrder } from '../../../../appliance/memory/power-trap.ts';
import { awaitTrap } from '../../../../hwqual/lab/power-trap.ts';

t.test('the order is what the product understands; its answer ends the wait, and nothing stays', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lab-trap-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const order = { point: 'pages', share: 0.5, delayMs: 1 };
  const product = watch(folder, (_, file) => {
    if (file !== 'trap-B.json') return;
    product.close();
    t.strictSame(parseTrapOrder(readFileSync(join(folder, 'trap-B.json'), 'utf8')), order);
    writeFileSync(join(folder, 'trap-B.hit'), JSON.stringify({ ...order, byte: 17, at: 5 }));
  });
  writeFileSync(join(folder, 'trap-B.hit'), 'of an earlier one');
  t.match(await awaitTrap(folder, 'B', order), { point: 'pages', byte: 17, at: 5 });
  t.strictSame(readdirSync(folder), []);
});
