import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { PartnerStatus } from '../../../../appliance/core/machine.ts';
import { decodeManagement, encodeManagement, MANAGEMENT_MAX_BYTES, managementKey } from '../../../../appliance/wire/management.ts';
import { OUTDATED_STATUS } from '../outdated-status.ts';

const key = managementKey(Buffer.alloc(32, 0x11));
const status = OUTDATED_STATUS;
const datagram = {
  sender: 'B' as const,
  incarnation: '1122334455667788',
  sequence: 0x1267,
  echo: { incarnation: '99aabbccddeeff00', sequence: 0x1266 },
  status,
};

t.test('what is said is heard, with and without an echo', async (t) => {
  t.strictSame(decodeManagement(encodeManagement(datagram, key), key), { kind: 'datagram', datagram });
  const first = { ...datagram, echo: null };
  t.strictSame(decodeManagement(encodeManagement(first, key), key), { kind: 'datagram', datagram: first });
});

t.test('the example in README.md', async (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../../../appliance/wire/README.md'), 'utf8');
  const section = text.slice(text.indexOf('## Management'));
  const bytes = encodeManagement(datagram, key);
  const [, head = '', tail = ''] = /```\n([0-9a-f \n]+)\.\.\.([0-9a-f \n]+)```/.exec(section) ?? [];
  t.equal(head.replace(/\s/g, ''), bytes.toString('hex', 0, 40));
  t.equal(tail.replace(/\s/g, ''), bytes.toString('hex', bytes.length - 16));
  t.match(section, new RegExp(`\\b${bytes.length} bytes\\b`));
});

t.test('nothing is readable, and no datagram is like another', async (t) => {
  const bytes = encodeManagement(datagram, key);
  t.notOk(bytes.includes('standby'));
  t.notOk(bytes.includes('1122334455667788'));
  const next = encodeManagement({ ...datagram, sequence: datagram.sequence + 1 }, key);
  t.not(bytes.toString('hex', 20), next.toString('hex', 20));
});

t.test('every changed bit, every truncation and another key are refused', async (t) => {
  const bytes = encodeManagement(datagram, key);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const { kind } = decodeManagement(changed, key);
    if (bit < 32) t.equal(kind, 'malformed', `bit ${bit}`);
    else if (bit < 40) t.equal(kind, 'otherVersion', `bit ${bit}`);
    else if (kind !== 'forged') t.fail(`bit ${bit}: ${kind}`);
  }
  for (let length = 0; length < bytes.length; length++)
    if (decodeManagement(bytes.subarray(0, length), key).kind === 'datagram') t.fail(`${length} bytes`);
  t.equal(decodeManagement(Buffer.concat([bytes, Buffer.alloc(1)]), key).kind, 'forged');
  t.equal(decodeManagement(Buffer.alloc(MANAGEMENT_MAX_BYTES + 1), key).kind, 'malformed');
  t.equal(decodeManagement(bytes, managementKey(Buffer.alloc(32, 0x12))).kind, 'forged');
});

t.test('what was made with the key and cannot be meant', async (t) => {
  const strange = { ...status, phase: 'dancing' } as unknown as PartnerStatus;
  t.match(decodeManagement(encodeManagement({ ...datagram, status: strange }, key), key), {
    kind: 'malformed',
    reason: /phase is "dancing"/,
  });
  const nobody = encodeManagement({ ...datagram, incarnation: '0000000000000000' }, key);
  t.match(decodeManagement(nobody, key), { kind: 'malformed', reason: 'no incarnation or sequence' });
  t.throws(() => encodeManagement({ ...datagram, sequence: 0 }, key), /sequence 0/);
  t.throws(() => encodeManagement({ ...datagram, sequence: 2 ** 32 }, key), /sequence 4294967296/);
  const long = { ...status, version: 'x'.repeat(2_000) };
  t.throws(() => encodeManagement({ ...datagram, status: long }, key), /does not fit into a datagram/);
});
