// The messages of lockstep between the gates: by their bytes, and back.
import fc from 'fast-check';
import t from 'tap';
import { decodeLockstep, encodeLockstep, isLockstepMessage, outputsHeader } from '../../../../appliance/gate/partner-lockstep.ts';
import { framed } from './guest-frames.ts';

const key4 = Buffer.from('0a4d000a0a4d000100509c40', 'hex').toString('latin1');

t.test('the bytes of the examples in README.md', async (t) => {
  const isn = encodeLockstep({ kind: 'isn', interval: 2, key: key4, sequence: 0x3e7, timestamp: null, answers: 0x64 });
  t.equal(isn.toString('hex'), '05000000020c0a4d000a0a4d000100509c40000003e7020000000000000064');
  const base = [{ key: key4, sequence: 1, timestamp: 2, guestIsn: 3 }];
  t.equal(
    encodeLockstep({ kind: 'begin', session: 7, base }).toString('hex'),
    '0301000000070c0a4d000a0a4d000100509c4000000001000000020100000003',
  );
  t.equal(encodeLockstep({ kind: 'mark' }).toString('hex'), '04');
  t.equal(outputsHeader(7, 2).toString('hex'), '060000000700000002');
  t.equal(isLockstepMessage(Buffer.from([1])), false, 'inputs are not');
});

t.test('what is encoded is decoded', async () => {
  const be32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const key = fc
    .oneof(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.uint8Array({ minLength: 36, maxLength: 36 }))
    .map((b) => Buffer.from(b).toString('latin1'));
  const base = fc.array(fc.record({ key, sequence: be32, timestamp: be32, guestIsn: fc.option(be32) }), { maxLength: 5 });
  fc.assert(fc.property(be32, base, (session, list) => same({ kind: 'begin', session, base: list })));
  fc.assert(
    fc.property(be32, key, be32, fc.option(be32), fc.option(be32), (interval, k, sequence, timestamp, answers) =>
      same({ kind: 'isn', interval, key: k, sequence, timestamp, answers }),
    ),
  );
});

t.test('outputs: the batch is a range of the message', async (t) => {
  const batch = framed(Buffer.alloc(14, 0xee));
  t.same(decodeLockstep(Buffer.concat([outputsHeader(7, 2), batch])), { kind: 'outputs', session: 7, interval: 2, batch });
});

t.test('what is wrong is named', async (t) => {
  t.throws(() => decodeLockstep(Buffer.from([3, 2, 0, 0, 0, 1])), /version 2 of lockstep, this side 1: install the same release/);
  t.throws(() => decodeLockstep(Buffer.from([3, 1])), /begin message of 2 bytes/);
  t.throws(() => decodeLockstep(Buffer.from([3, 1, 0, 0, 0, 1, 12, 0])), /key of 12 bytes at byte 6 of 8/);
  t.throws(() => decodeLockstep(Buffer.from([5, 0, 0, 0, 1, 13])), /key of 13 bytes/);
  t.throws(() => decodeLockstep(Buffer.from([6, 0])), /outputs message of 2 bytes/);
  t.throws(() => decodeLockstep(Buffer.from([9])), /unknown message type 9/);
});

function same(message: Parameters<typeof encodeLockstep>[0]): boolean {
  return JSON.stringify(decodeLockstep(encodeLockstep(message))) === JSON.stringify(message);
}
