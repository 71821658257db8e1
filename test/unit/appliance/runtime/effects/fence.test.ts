import t from 'tap';
import { CARRIER_WITHIN_MS, Fence, type PartnerPower } from '../../../../../appliance/runtime/effects/fence.ts';

/** A partner with two links; `offVerified` switches it, unless the test says otherwise. */
function setUp(change: { carriers?: boolean[]; power?: PartnerPower['offVerified'] | null; darkAfterMs?: number; wasOn?: boolean } = {}) {
  let now = 0;
  let darkAt = Number.POSITIVE_INFINITY;
  let orders = 0;
  const carriers = change.carriers ?? [true, true];
  let switchedOn = 0;
  const offVerified =
    change.power ??
    (async () => {
      orders++;
      now += 40;
      darkAt = now + (change.darkAfterMs ?? 300);
      return { word: 'off, read back twice', wasOn: change.wasOn ?? true };
    });
  const fence = new Fence({
    power: change.power === null ? null : { read: async () => 'on', offVerified, on: async () => void switchedOn++ },
    carriers: async () => carriers.map((up) => up && now < darkAt),
    now: () => now,
    sleep: async (ms) => {
      now += ms;
    },
  });
  return { fence, orders: () => orders, elapsed: () => now, switchedOn: () => switchedOn };
}

t.test('off twice and no carrier: fenced, with the evidence', async (t) => {
  const { fence } = setUp();
  t.match(
    await fence.fence(),
    /^the partner's BMC: off, read back twice \(40 ms\); carrier of links 1 and 2 gone 3[4-6]\d ms after the order$/,
  );
});

t.test('it is switched on again, where there is a BMC', async (t) => {
  const { fence, switchedOn } = setUp();
  await fence.powerOn();
  t.equal(switchedOn(), 1);
  const already = setUp({ wasOn: false });
  await already.fence.fence();
  await t.rejects(already.fence.powerOn(), /had been off before, and is left so/);
  t.equal(already.switchedOn(), 0);
  await t.rejects(setUp({ power: null }).fence.powerOn(), /no BMC of the partner is configured/);
});

t.test('asked twice it orders once', async (t) => {
  const { fence, orders } = setUp();
  const [one, other] = await Promise.all([fence.fence(), fence.fence()]);
  t.equal(one, other);
  t.equal(orders(), 1);
});

t.test('a BMC that lies is found out by the links, in bounded time', async (t) => {
  const { fence, elapsed } = setUp({ darkAfterMs: 1e9 });
  await t.rejects(fence.fence(), /says that the power is off .*, but links 1 and 2 still have their carrier after 5 s: it lies/);
  t.ok(elapsed() < CARRIER_WITHIN_MS + 200);
});

t.test('one link with carrier is enough to doubt', async (t) => {
  let lit = [true, true];
  const fence = new Fence({
    power: {
      read: async () => 'on',
      offVerified: async () => {
        lit = [false, true];
        return { word: 'off', wasOn: true };
      },
      on: async () => undefined,
    },
    carriers: async () => lit,
    now: (() => {
      let at = 0;
      return () => (at += 500);
    })(),
    sleep: async () => undefined,
  });
  await t.rejects(fence.fence(), /but link 2 still has its carrier/);
});

t.test('a BMC that does not do it gives its reason', async (t) => {
  const { fence } = setUp({ power: async () => Promise.reject(new Error('the BMC at 192.0.2.1 does not answer')) });
  await t.rejects(fence.fence(), /does not answer/);
});

t.test('carriers that were gone before are no second witness, and that is said', async (t) => {
  const { fence } = setUp({ carriers: [false, false] });
  t.match(await fence.fence(), /gone before: this is the BMC's word alone/);
  t.match(await setUp({ carriers: [false, true] }).fence.fence(), /carrier of link 2 gone/);
});

t.test('nothing to fence with', async (t) => {
  await t.rejects(setUp({ power: null }).fence.fence(), /no BMC of the partner is configured \(fence\.address\)/);
  await t.rejects(setUp({ carriers: [] }).fence.fence(), /no direct link/);
});
