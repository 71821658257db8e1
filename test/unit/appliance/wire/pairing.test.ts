import fc from 'fast-check';
import t from 'tap';
import { agree, commitmentOf, fingerprintOf, keptKeyOf, macOf, ownKeys } from '../../../../appliance/pairing/agreement.ts';
import { decodePairing, encodePairing, PAIRING_BYTES, type PairingMessage } from '../../../../appliance/wire/pairing.ts';
import { exampleBytes, exampleText } from './readme-examples.ts';

const README = 'appliance/wire/README.md';
const session = '55'.repeat(16);
const pairId = '000102030405060708090a0b0c0d0e0f';
const keys = (secret: number, nonce: number) => ownKeys(Buffer.concat([Buffer.alloc(32, secret), Buffer.alloc(32, nonce)]));

/** The examples' messages, made from the secrets that the README names. */
function examples(): { messages: Record<string, PairingMessage>; code: string; pairKey: string } {
  const [a, b] = [keys(0x11, 0x22), keys(0x33, 0x44)];
  const offer = { session, pairId, publicKey: a.publicKey, nonce: a.nonce };
  const agreement = agree(b, 'B', offer, { publicKey: b.publicKey, nonce: b.nonce });
  if (!agreement) throw new Error('no agreement');
  const mac = '00'.repeat(32);
  const confirm = { sender: 'B' as const, session, pairId, body: { kind: 'confirm' as const, mac } };
  const kept = {
    sender: 'A' as const,
    session: '00'.repeat(16),
    pairId,
    body: { kind: 'kept' as const, stage: 'established' as const, mac },
  };
  const { code, pairKey, confirmKeys } = agreement;
  return {
    code,
    pairKey,
    messages: {
      commit: { sender: 'A', session, pairId, body: { kind: 'commit', commitment: commitmentOf(offer) } },
      answer: { sender: 'B', session, pairId, body: { kind: 'answer', publicKey: b.publicKey, nonce: b.nonce } },
      reveal: { sender: 'A', session, pairId, body: { kind: 'reveal', publicKey: a.publicKey, nonce: a.nonce } },
      confirm: { ...confirm, body: { ...confirm.body, mac: macOf(confirmKeys.B, confirm) } },
      kept: { ...kept, body: { ...kept.body, mac: macOf(keptKeyOf(pairKey), kept) } },
      abort: { sender: 'B', session, pairId, body: { kind: 'abort', reason: 'differ' } },
    },
  };
}

t.test('the examples of the README, from the secrets that it names', async (t) => {
  const { messages, code, pairKey } = examples();
  for (const [name, message] of Object.entries(messages)) {
    const bytes = exampleBytes(README, `pairing-${name}`);
    t.equal(encodePairing(message).toString('hex'), bytes.toString('hex'), name);
    t.same(decodePairing(bytes), { kind: 'message', message }, name);
  }
  t.equal(code, '373425');
  t.equal(pairKey, '08dec0666f67de59b92869c430614d3001f721afd1c4b8d883cf50896c5442c8');
  t.equal(fingerprintOf(pairKey), 'a91b-5c54-ed67');
  t.throws(() => exampleText(README, 'hex', 'nowhere'), /has 0 examples of hex 'nowhere' instead of one/);
});

t.test('X25519 as others compute it: RFC 7748, clause 6.1', async (t) => {
  const own = (hex: string) => ownKeys(Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(32)]));
  t.equal(
    own('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb').publicKey,
    'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
  );
});

t.test('what is wrong is told apart', async (t) => {
  const bytes = encodePairing(examples().messages['commit'] ?? fail());
  const reading = (change: (b: Buffer) => Buffer | undefined) => {
    const b = Buffer.from(bytes);
    return decodePairing(change(b) ?? b);
  };
  const set = (at: number, value: number) => (b: Buffer) => {
    b[at] = value;
    return b;
  };
  t.same(reading(set(0, 0)), { kind: 'malformed', reason: 'not a pairing message' });
  t.same(reading(set(4, 2)), { kind: 'version', version: 2 });
  t.same(
    reading((b) => set(4, 2)(b).subarray(0, 40)),
    { kind: 'version', version: 2 },
    'another version may have another length',
  );
  t.same(reading(set(5, 2)), { kind: 'malformed', reason: 'sender 2' });
  t.same(reading(set(6, 0)), { kind: 'malformed', reason: 'type 0' });
  t.same(reading(set(6, 7)), { kind: 'malformed', reason: 'type 7' });
  t.same(reading(set(6, 5)), { kind: 'malformed', reason: 'stage 0' });
  t.same(reading(set(6, 6)), { kind: 'malformed', reason: 'reason 0' });
  for (const at of [7, 72, 103, 104, 111])
    t.same(reading(set(at, 1)), { kind: 'malformed', reason: 'bytes that must be zero are not' }, `byte ${at}`);
  t.same(
    reading((b) => b.subarray(0, 111)),
    { kind: 'malformed', reason: '111 bytes instead of 112' },
  );
  t.same(
    reading((b) => Buffer.concat([b, b])),
    { kind: 'malformed', reason: '224 bytes instead of 112' },
  );
  t.throws(
    () => encodePairing({ sender: 'A', session: '12', pairId, body: { kind: 'abort', reason: 'differ' } }),
    /session is not 16 bytes of hex/,
  );
});

function fail(): never {
  throw new Error('no example');
}

t.test('noise never throws, and what is taken is what would be made', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: PAIRING_BYTES + 20 }), fc.nat({ max: 7 }), (noise, type) => {
      const bytes = Buffer.from(noise);
      Buffer.from([0x54, 0x77, 0x50, 0x72, 1, type & 1, type, 0]).copy(bytes);
      const reading = decodePairing(bytes);
      if (reading.kind === 'message' && !encodePairing(reading.message).equals(bytes)) throw new Error('two forms of one message');
    }),
    { numRuns: 3000 },
  );
});
