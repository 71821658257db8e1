// The bytes on the cables: examples as in the README, and 10,000 random ones there and back; whatever comes, nothing throws.
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  BEACON_BYTES,
  type Beacon,
  decodeSetup,
  encodeBeacon,
  encodePart,
  NO_IDENTITY,
  NO_PROOF,
  PART_BYTES,
  STAGES,
} from '../../../../appliance/setup/beacon.ts';
import { DocumentInbox, openDocument, partsOf, sealDocument } from '../../../../appliance/setup/document.ts';
import { ROLES } from '../../../../appliance/setup/roles.ts';
import { isProof, proofOf } from '../../../../appliance/setup/unattended-proof.ts';

const RUNS = { numRuns: 10_000 };
const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'));

const EXAMPLE: Beacon = {
  identity: '0102030405060708090a0b0c0d0e0f10',
  coServer: 'A',
  stage: 'asking',
  pairId: NO_IDENTITY,
  sequence: 7,
  port: 2,
  ports: 4,
  role: 'link1',
  name: 'enp1s0',
  heardIdentity: '1112131415161718191a1b1c1d1e1f20',
  heardPort: 3,
  proof: NO_PROOF,
};

t.test('the example of the README', async (t) => {
  const bytes = encodeBeacon(EXAMPLE);
  t.equal(
    bytes.toString('hex'),
    `5477537501010100${EXAMPLE.identity}${NO_IDENTITY}0000000702040103${EXAMPLE.heardIdentity}656e7031733000000000000000000000${NO_PROOF}`,
  );
  t.strictSame(decodeSetup(bytes), { kind: 'beacon', beacon: EXAMPLE });
  const newer = Buffer.from(bytes);
  newer.writeUInt8(9, 4);
  t.strictSame(decodeSetup(newer), { kind: 'version', version: 9 });
  for (const damage of [{ port: 5 }, { port: 0 }, { name: '' }, { name: 'a name with blanks' }, { ports: 65 }, { identity: 'ff' }])
    t.throws(() => encodeBeacon({ ...EXAMPLE, ...damage }), RangeError, JSON.stringify(damage));
});

t.test('beacons come out as they went in', async () => {
  const beacon: fc.Arbitrary<Beacon> = fc.integer({ min: 1, max: 64 }).chain((ports) =>
    fc.record({
      identity: hex(16),
      coServer: fc.constantFrom('A' as const, 'B' as const, null),
      stage: fc.constantFrom(...STAGES),
      pairId: hex(16),
      sequence: fc.integer({ min: 0, max: 0xffffffff }),
      port: fc.integer({ min: 1, max: ports }),
      ports: fc.constant(ports),
      role: fc.constantFrom(...ROLES),
      name: fc.stringMatching(/^[\x21-\x7e]{1,16}$/),
      heardIdentity: hex(16),
      heardPort: fc.integer({ min: 0, max: 64 }),
      proof: hex(32),
    }),
  );
  fc.assert(
    fc.property(beacon, (b) => {
      const read = decodeSetup(encodeBeacon(b));
      return read.kind === 'beacon' && isDeepStrictEqual({ ...read.beacon }, { ...b });
    }),
    RUNS,
  );
});

t.test('whatever comes: read as what it is, or as nothing', async (t) => {
  const kinds = new Set<string>();
  const damaged = fc
    .tuple(fc.constant(encodeBeacon(EXAMPLE)), fc.array(fc.tuple(fc.nat(BEACON_BYTES - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(200))
    .map(([bytes, changes, length]) => {
      const copy = Buffer.alloc(200);
      bytes.copy(copy);
      for (const [at, value] of changes) copy.writeUInt8(value, at);
      return copy.subarray(0, length > 150 ? BEACON_BYTES : length);
    });
  fc.assert(
    fc.property(
      fc.oneof(
        damaged,
        fc.uint8Array({ maxLength: 1500 }).map((b) => Buffer.from(b)),
      ),
      (bytes) => {
        const read = decodeSetup(bytes);
        kinds.add(read.kind);
        // What was understood can be said again.
        if (read.kind === 'beacon') encodeBeacon(read.beacon);
      },
    ),
    RUNS,
  );
  t.ok(kinds.has('other') && kinds.has('beacon') && kinds.has('version'), [...kinds].join());
});

t.test('a document in parts, whatever their order; under another key it stays shut', async (t) => {
  const key = Buffer.alloc(32, 7);
  const value = { coServer: 'A', list: Array.from({ length: 3000 }, (_, i) => Math.imul(i, 2654435761) >>> 0) };
  const sealed = sealDocument(value, key, 'A', Buffer.alloc(12, 1));
  const parts = partsOf(sealed, EXAMPLE.identity);
  t.ok(parts.length > 2, `${parts.length} parts`);
  const inbox = new DocumentInbox();
  const heard = parts.toReversed().map((part) => {
    const bytes = encodePart(part);
    // A NIC pads short frames.
    const read = decodeSetup(Buffer.concat([bytes, Buffer.alloc(20)]));
    if (read.kind !== 'part') throw new Error(read.kind);
    return inbox.take(read.part);
  });
  t.ok(heard.slice(0, -1).every((h) => h === null));
  const whole = heard.at(-1);
  if (!whole) throw new Error('not whole');
  t.strictSame(openDocument(whole, key, 'A'), value);
  t.equal(openDocument(whole, key, 'B'), null, 'another side');
  t.equal(openDocument(whole, Buffer.alloc(32, 8), 'A'), null, 'another key');
  const changed = Buffer.from(whole);
  changed.writeUInt8(changed.readUInt8(40) ^ 1, 40);
  t.equal(openDocument(changed, key, 'A'), null, 'one bit');
  t.equal(openDocument(Buffer.alloc(3), key, 'A'), null);
  t.throws(
    () => encodePart({ identity: EXAMPLE.identity, document: '00'.repeat(8), part: 1, parts: 1, data: Buffer.alloc(1) }),
    RangeError,
  );
  t.throws(
    () => encodePart({ identity: EXAMPLE.identity, document: '00'.repeat(8), part: 0, parts: 1, data: Buffer.alloc(PART_BYTES + 1) }),
    RangeError,
  );
});

t.test('the secret compares codes', async (t) => {
  const [secret, pairId] = ['ab'.repeat(16), 'cd'.repeat(16)];
  const proof = proofOf(secret, pairId, 'A', '123456');
  t.ok(isProof(proof, secret, pairId, 'A', '123456'));
  t.notOk(isProof(proof, secret, pairId, 'A', '123457'), 'another code');
  t.notOk(isProof(proof, secret, pairId, 'B', '123456'), 'said back by whoever heard it');
  t.notOk(isProof(proof, 'ac'.repeat(16), pairId, 'A', '123456'), 'another secret');
  t.notOk(isProof(NO_PROOF, secret, pairId, 'A', '123456'), 'none');
});
