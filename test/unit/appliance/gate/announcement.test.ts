import t from 'tap';
import { announcement, gratuitousArp, neighborAdvertisement } from '../../../../appliance/gate/announcement.ts';
import { GuestAddressBook } from '../../../../appliance/gate/guest-addresses.ts';
import { arpFrame, GUEST_MAC, ip4, mac, neighborFrame } from './guest-frames.ts';

t.test('gratuitous ARP, both forms', async (t) => {
  const pad = '00'.repeat(18);
  t.equal(
    gratuitousArp(mac(GUEST_MAC), ip4('10.77.0.10'), 1).toString('hex'),
    `ffffffffffff52540077001a08060001080006040001${'52540077001a0a4d000a'}${'0000000000000a4d000a'}${pad}`,
  );
  t.equal(
    gratuitousArp(mac(GUEST_MAC), ip4('10.77.0.10'), 2).toString('hex'),
    `ffffffffffff52540077001a08060001080006040002${'52540077001a0a4d000a'}${'ffffffffffff0a4d000a'}${pad}`,
  );
});

t.test('unsolicited neighbour advertisement', async (t) => {
  const f = neighborAdvertisement(mac(GUEST_MAC), Buffer.from('fe80000000000000505400fffe77001a', 'hex'));
  t.equal(f.length, 86);
  t.equal(f.toString('hex', 0, 14), '33330000000152540077001a86dd');
  t.equal(f.toString('hex', 14, 22), '6000000000203aff', 'version 6, 32 bytes, ICMPv6, hop limit 255');
  t.equal(f.toString('hex', 38, 54), 'ff020000000000000000000000000001', 'all nodes');
  t.equal(f.toString('hex', 54, 56), '8800');
  t.equal(f.toString('hex', 58, 62), '20000000', 'override, not solicited, not a router');
  t.equal(f.toString('hex', 78), '020152540077001a', 'target link-layer address');
  // The one's complement sum over pseudo header and message, checksum included, is all ones.
  let sum = 32 + 58;
  for (let i = 22; i < 86; i += 2) sum += f.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  t.equal(sum, 0xffff);
});

t.test('one round speaks for every address; without any, the MAC alone', async (t) => {
  const book = new GuestAddressBook();
  t.same(announcement(book), []);
  const learn = (f: Buffer) => book.learn(f, 0, f.length);
  learn(arpFrame(GUEST_MAC, 1, GUEST_MAC, '0.0.0.0', '10.77.0.10'));
  t.same(
    announcement(book).map((f) => f.toString('hex', 12, 14)),
    ['8035'],
  );
  learn(arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'));
  learn(neighborFrame(GUEST_MAC, 136, '20010db8000000000000000000000010', '20010db8000000000000000000000010'));
  t.same(
    announcement(book).map((f) => f.toString('hex', 12, 14)),
    ['8035', '0806', '0806', '86dd'],
  );
  t.ok(announcement(book).every((f) => f.length >= 60));
});
