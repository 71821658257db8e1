import t from 'tap';
import { ADDRESS_LIMIT, formatIpv6, GuestAddressBook, macBytes } from '../../../../appliance/gate/guest-addresses.ts';
import { arpFrame, BROADCAST, ethernet, GUEST_MAC, ipv4Frame, neighborFrame, OTHER_MAC } from './guest-frames.ts';

const GLOBAL = '20010db8000000000000000000000010';
const LINK_LOCAL = 'fe800000000000005054 00fffe77001a'.replace(' ', '');

function learn(book: GuestAddressBook, ...frames: Buffer[]): GuestAddressBook {
  for (const f of frames) {
    const padded = Buffer.concat([Buffer.alloc(3), f]);
    book.learn(padded, 3, f.length);
  }
  return book;
}

t.test('MAC from the first unicast source; then only that one counts', async (t) => {
  const book = new GuestAddressBook();
  t.same(book.addresses(), { mac: '', ipv4: [], ipv6: [] });
  learn(book, ethernet(BROADCAST, '01:00:5e:00:00:01', 0x0800, Buffer.alloc(46)));
  t.equal(book.mac, null, 'a group address is nobody');
  learn(book, ipv4Frame(BROADCAST, GUEST_MAC, '10.77.0.10', '10.77.0.1'), ipv4Frame(BROADCAST, OTHER_MAC, '10.77.0.66', '10.77.0.1'));
  t.same(book.addresses(), { mac: GUEST_MAC, ipv4: ['10.77.0.10'], ipv6: [] });
  t.ok(book.isGuestMac(macBytes(GUEST_MAC), 0));
  t.notOk(book.isGuestMac(macBytes(OTHER_MAC), 0));
});

t.test('a configured MAC is never replaced', async (t) => {
  const book = new GuestAddressBook(GUEST_MAC);
  learn(book, ipv4Frame(BROADCAST, OTHER_MAC, '10.77.0.66', '10.77.0.1'));
  book.import(macBytes(OTHER_MAC), []);
  t.same(book.addresses(), { mac: GUEST_MAC, ipv4: [], ipv6: [] });
  t.throws(() => new GuestAddressBook('52-54-00'), /no MAC address/);
});

t.test('what it claims counts; what it forwards does not', async (t) => {
  const book = learn(
    new GuestAddressBook(GUEST_MAC),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '192.0.2.5', '10.77.0.1'),
    arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '192.0.2.6', '10.77.0.1'),
    arpFrame(GUEST_MAC, 2, GUEST_MAC, '10.77.0.11', '10.77.0.1'),
  );
  t.same(book.addresses().ipv4, ['10.77.0.10', '10.77.0.11']);
});

t.test('probes and impossible sources are not learned', async (t) => {
  const book = learn(
    new GuestAddressBook(GUEST_MAC),
    arpFrame(GUEST_MAC, 1, GUEST_MAC, '0.0.0.0', '10.77.0.10'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '0.0.0.0', '255.255.255.255'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '224.0.0.1', '10.0.0.1'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '127.0.0.1', '10.0.0.1'),
    neighborFrame(GUEST_MAC, 135, '00'.repeat(16), GLOBAL),
    ethernet(OTHER_MAC, GUEST_MAC, 0x0800, Buffer.alloc(4)),
    ethernet(OTHER_MAC, GUEST_MAC, 0x86dd, Buffer.alloc(30)),
    ethernet(OTHER_MAC, GUEST_MAC, 0x0806, Buffer.alloc(10)),
  );
  t.same(book.addresses(), { mac: GUEST_MAC, ipv4: [], ipv6: [] });
});

t.test('IPv6: by solicitation, advertisement and source', async (t) => {
  t.same(learn(new GuestAddressBook(GUEST_MAC), neighborFrame(GUEST_MAC, 136, LINK_LOCAL, GLOBAL)).addresses().ipv6, ['2001:db8::10']);
  t.same(learn(new GuestAddressBook(GUEST_MAC), neighborFrame(GUEST_MAC, 135, LINK_LOCAL, GLOBAL)).addresses().ipv6, [
    'fe80::5054:ff:fe77:1a',
  ]);
  const udp = Buffer.alloc(48);
  udp[0] = 0x60;
  udp[6] = 17;
  Buffer.from(GLOBAL, 'hex').copy(udp, 8);
  t.same(learn(new GuestAddressBook(GUEST_MAC), ethernet(OTHER_MAC, GUEST_MAC, 0x86dd, udp)).addresses().ipv6, ['2001:db8::10']);
});

t.test('another machine that claims the address takes it away', async (t) => {
  const book = learn(
    new GuestAddressBook(GUEST_MAC),
    arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
    neighborFrame(GUEST_MAC, 136, GLOBAL, GLOBAL),
  );
  const foreign = (f: Buffer) => book.learnForeign(f, 0, f.length);
  foreign(arpFrame(OTHER_MAC, 1, OTHER_MAC, '10.77.0.1', '10.77.0.10'));
  t.same(book.addresses().ipv4, ['10.77.0.10'], 'asking for it is no claim');
  const before = book.revision;
  foreign(arpFrame(OTHER_MAC, 1, OTHER_MAC, '10.77.0.10', '10.77.0.10'));
  foreign(neighborFrame(OTHER_MAC, 136, GLOBAL, GLOBAL));
  t.same(book.addresses(), { mac: GUEST_MAC, ipv4: [], ipv6: [] });
  t.ok(book.revision > before);
});

t.test('bounded; the oldest is forgotten; the revision changes only with the book', async (t) => {
  const book = new GuestAddressBook(GUEST_MAC);
  for (let i = 1; i <= ADDRESS_LIMIT + 3; i++) learn(book, arpFrame(GUEST_MAC, 1, GUEST_MAC, `10.77.0.${i}`, '10.77.0.1'));
  t.equal(book.addresses().ipv4.length, ADDRESS_LIMIT);
  t.equal(book.addresses().ipv4[0], '10.77.0.4');
  const before = book.revision;
  learn(book, arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.5', '10.77.0.1'), ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.5', '10.77.0.1'));
  t.equal(book.revision, before);
});

t.test('an address has one rank', async (t) => {
  const book = learn(
    new GuestAddressBook(GUEST_MAC),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
    arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.11', '10.77.0.1'),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
  );
  t.same(book.export(), [
    { rank: 'claimed', hex: '0a4d000a' },
    { rank: 'seen', hex: '0a4d000b' },
  ]);
});

t.test('the partner gets the same book', async (t) => {
  const book = learn(
    new GuestAddressBook(),
    ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1'),
    neighborFrame(GUEST_MAC, 136, GLOBAL, GLOBAL),
  );
  const copy = new GuestAddressBook();
  copy.import(book.mac, book.export());
  t.same(copy.addresses(), book.addresses());
  copy.import(book.mac, []);
  t.same(copy.addresses(), { mac: GUEST_MAC, ipv4: [], ipv6: [] });
});

t.test('IPv6 text (RFC 5952)', async (t) => {
  for (const [hex, text] of [
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['20010000000000010000000000000001', '2001:0:0:1::1'],
    ['fe800000000000000000000000000000', 'fe80::'],
  ] as const) {
    t.equal(formatIpv6(Buffer.from(hex, 'hex')), text);
  }
});
