// The lab's second engine: the same program, which says everywhere that it is another version.
import t from 'tap';
import { nextEngine, renamedEngine } from '../../../../../hwqual/lab/appliance/other-engine.ts';

const STORE = Buffer.from('48c74010', 'hex');
const micro = (n: number) => Buffer.concat([STORE, Buffer.from([n, 0, 0, 0])]);
const program = (...parts: (string | Buffer)[]) => Buffer.concat(parts.map((part) => Buffer.from(part)));

t.test('the next version has as many digits', async (t) => {
  t.equal(nextEngine('11.1.3'), '11.1.4');
  t.equal(nextEngine('11.1.9'), '11.1.8');
  t.equal(nextEngine('11.1.10'), '11.1.11');
  t.match(nextEngine(), /^\d+\.\d+\.\d+$/, 'of the image');
});

t.test('words and the number for the monitor are changed, and nothing else', async (t) => {
  const found = program('a QEMU v11.1.3\0', micro(3), 'version 11.1.3 (Debian)', Buffer.from([3, 0, 0, 0]));
  const renamed = renamedEngine(found, '11.1.3', '11.1.4');
  t.ok(renamed.equals(program('a QEMU v11.1.4\0', micro(4), 'version 11.1.4 (Debian)', Buffer.from([3, 0, 0, 0]))));
  t.ok(found.includes('11.1.3'), 'what was given is as it was');
});

t.test('a program that says it otherwise is refused', async (t) => {
  t.throws(() => renamedEngine(program('11.1.3', micro(3)), '11.1.3', '11.1.10'), /not of one length/);
  t.throws(() => renamedEngine(program('12.0.0', micro(3)), '11.1.3', '11.1.4'), /does not say that it is 11\.1\.3/);
  t.throws(() => renamedEngine(program('11.1.3'), '11.1.3', '11.1.4'), /at 0 places/);
  t.throws(() => renamedEngine(program('11.1.3', micro(3), micro(3)), '11.1.3', '11.1.4'), /at 2 places/);
});
