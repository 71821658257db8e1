import t from 'tap';
import { decodePartnerMessage, encodeAddresses, inputsHeader } from '../../../../appliance/gate/partner-messages.ts';
import { framed, GUEST_MAC, mac } from './guest-frames.ts';

t.test('inputs: the bytes of the table in README.md', async (t) => {
  const m = Buffer.concat([inputsHeader(0x01020304), framed(Buffer.alloc(14, 0xee))]);
  t.equal(m.toString('hex'), `01${'01020304'}${'0000000e'}${'ee'.repeat(14)}`);
  const d = decodePartnerMessage(m);
  t.equal(d.kind, 'inputs');
  if (d.kind !== 'inputs') return;
  t.equal(d.interval, 0x01020304);
  t.equal(d.frames, 1);
  t.same(d.batch, framed(Buffer.alloc(14, 0xee)));
});

t.test('addresses: the bytes of the table in README.md', async (t) => {
  const m = encodeAddresses(mac(GUEST_MAC), [
    { rank: 'claimed', hex: '0a4d000a' },
    { rank: 'seen', hex: '20010db8000000000000000000000010' },
  ]);
  t.equal(m.toString('hex'), `02${'01'}${'52540077001a'}${'00040a4d000a'}${'011020010db8000000000000000000000010'}`);
  const d = decodePartnerMessage(m);
  if (d.kind !== 'addresses') return t.fail(d.kind);
  t.same(d.mac, mac(GUEST_MAC));
  t.equal(d.addresses.length, 2);
  const none = decodePartnerMessage(encodeAddresses(null, []));
  t.same(none, { kind: 'addresses', mac: null, addresses: [] });
});

t.test('what is wrong is named', async (t) => {
  t.throws(() => decodePartnerMessage(Buffer.from([9, 0])), /unknown message type 9/);
  t.throws(() => decodePartnerMessage(Buffer.alloc(0)), /unknown message type/);
  t.throws(() => decodePartnerMessage(Buffer.from([1, 0])), /inputs message of 2 bytes/);
  t.throws(() => decodePartnerMessage(Buffer.concat([inputsHeader(1), Buffer.from([0, 0, 0, 9, 1])])), /out of step/);
  t.throws(() => decodePartnerMessage(Buffer.from([2, 0])), /addresses message of 2 bytes/);
  t.throws(() => decodePartnerMessage(Buffer.concat([encodeAddresses(null, []), Buffer.from([0, 5, 1])])), /address entry at byte 8/);
  t.throws(() => decodePartnerMessage(Buffer.concat([encodeAddresses(null, []), Buffer.from([0, 4, 1])])), /address entry at byte 8/);
});
