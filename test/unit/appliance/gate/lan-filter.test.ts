import fc from 'fast-check';
import t from 'tap';
import { GuestAddressBook } from '../../../../appliance/gate/guest-addresses.ts';
import { filterForGuest } from '../../../../appliance/gate/lan-filter.ts';
import { arpFrame, BROADCAST, ethernet, framed, GUEST_MAC, ipv4Frame, labelOf, OTHER_MAC, unframed } from './guest-frames.ts';

const kinds = {
  guest: { to: GUEST_MAC, from: OTHER_MAC, passes: true },
  broadcast: { to: BROADCAST, from: OTHER_MAC, passes: true },
  multicast: { to: '01:00:5e:00:00:fb', from: OTHER_MAC, passes: true },
  other: { to: '02:00:00:00:00:55', from: OTHER_MAC, passes: false },
  /** One byte differs from the guest's. */
  near: { to: '52:54:00:77:00:1b', from: OTHER_MAC, passes: false },
  echo: { to: BROADCAST, from: GUEST_MAC, passes: false },
};
type Kind = keyof typeof kinds;

t.test('property: exactly the frames for the guest, in order', async () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...(Object.keys(kinds) as Kind[])), { maxLength: 40 }), (list) => {
      const batch = framed(...list.map((k, i) => ipv4Frame(kinds[k].to, kinds[k].from, '10.0.0.9', '10.0.0.10', i)));
      const r = filterForGuest(batch, new GuestAddressBook(GUEST_MAC));
      const got = r.runs.flatMap(unframed).map(labelOf);
      const wanted = list.flatMap((k, i) => (kinds[k].passes ? [i] : []));
      return (
        JSON.stringify(got) === JSON.stringify(wanted) &&
        r.frames === wanted.length &&
        r.bytes === r.runs.reduce((n, b) => n + b.length, 0) &&
        r.echoed === list.filter((k) => k === 'echo').length &&
        r.foreign === list.filter((k) => k === 'other' || k === 'near').length
      );
    }),
    { numRuns: 500 },
  );
});

t.test('a batch that is all for the guest is handed on as it is', async (t) => {
  const batch = framed(ipv4Frame(GUEST_MAC, OTHER_MAC, '10.0.0.9', '10.0.0.10'), ipv4Frame(GUEST_MAC, OTHER_MAC, '10.0.0.9', '10.0.0.10'));
  const r = filterForGuest(batch, new GuestAddressBook(GUEST_MAC));
  t.equal(r.runs.length, 1);
  t.equal(r.runs[0], batch);
});

t.test('unknown MAC: only what is for everybody', async (t) => {
  const batch = framed(
    ipv4Frame(GUEST_MAC, OTHER_MAC, '10.0.0.9', '10.0.0.10', 1),
    ipv4Frame(BROADCAST, OTHER_MAC, '10.0.0.9', '10.0.0.10', 2),
  );
  t.same(filterForGuest(batch, new GuestAddressBook()).runs.flatMap(unframed).map(labelOf), [2]);
});

t.test('runts and a torn end are left out', async (t) => {
  const good = ipv4Frame(GUEST_MAC, OTHER_MAC, '10.0.0.9', '10.0.0.10', 7);
  const batch = Buffer.concat([framed(Buffer.alloc(5), good), framed(good).subarray(0, 20)]);
  const r = filterForGuest(batch, new GuestAddressBook(GUEST_MAC));
  t.same(r.runs.flatMap(unframed).map(labelOf), [7]);
  t.equal(r.foreign, 2);
});

t.test('shows the book what others claim', async (t) => {
  const book = new GuestAddressBook(GUEST_MAC);
  const own = arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.0.0.10', '10.0.0.1');
  book.learn(own, 0, own.length);
  filterForGuest(framed(arpFrame(OTHER_MAC, 2, OTHER_MAC, '10.0.0.10', '10.0.0.10')), book);
  t.same(book.addresses().ipv4, []);
  t.equal(
    filterForGuest(framed(ethernet(BROADCAST, OTHER_MAC, 0x0806, Buffer.alloc(2))), book).frames,
    1,
    'a short ARP frame is passed, not read',
  );
});
