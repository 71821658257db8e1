import t from 'tap';
import { BusinessNic, DOWN_AFTER_MS, UP_AFTER_MS } from '../../../../../appliance/runtime/sources/business-nic.ts';

function makeNic() {
  const observed: boolean[] = [];
  const waiting: { ms: number; call: () => void }[] = [];
  const nic = new BusinessNic({
    observed: (up) => observed.push(up),
    after: (ms, call) => {
      const entry = { ms, call };
      waiting.push(entry);
      return () => void waiting.splice(waiting.indexOf(entry), 1);
    },
  });
  const pass = () => {
    const [first] = waiting.splice(0, 1);
    first?.call();
    return first?.ms;
  };
  return { nic, observed, waiting, pass };
}

t.test('a carrier that stays away is told, and one that stays', async (t) => {
  const s = makeNic();
  s.nic.carrier(true);
  t.same(s.waiting, [], 'it was taken for alive');
  s.nic.carrier(false);
  t.same(s.observed, []);
  t.equal(s.pass(), DOWN_AFTER_MS);
  t.same(s.observed, [false]);
  s.nic.carrier(true);
  t.equal(s.pass(), UP_AFTER_MS);
  t.same(s.observed, [false, true]);
});

t.test('what only bounces is not told', async (t) => {
  const s = makeNic();
  s.nic.carrier(false);
  s.nic.carrier(true);
  t.same(s.waiting, []);
  s.nic.carrier(false);
  s.pass();
  s.nic.carrier(true);
  s.nic.carrier(false);
  t.same([s.waiting, s.observed], [[], [false]]);
});
