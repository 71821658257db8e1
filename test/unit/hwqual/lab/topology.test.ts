import t from 'tap';
import { labSettings } from '../../../../hwqual/lab/settings.ts';
import { carrierLines, coServerBatches, macOf, muteLines, rackBatches, removalLines } from '../../../../hwqual/lab/topology.ts';

const settings = labSettings({ instance: '3', root: '/tmp/x' });
const BOTH = ['A', 'B'] as const;
const whole = { 1: true, 2: true };
const lan = { A: true, B: true };

t.test('instances differ in every name and port that the machine sees', (t) => {
  const other = labSettings({ instance: '4', root: '/tmp/x' });
  const names = [...Object.values(settings.namespaces), ...Object.values(other.namespaces)];
  t.equal(new Set(names).size, 14);
  t.not(settings.directory, other.directory);
  t.same(settings.webPorts, { A: 8473, B: 8474 });
  t.same(labSettings({ instance: '0' }).webPorts, { A: 8443, B: 8444 });
  t.throws(() => labSettings({ instance: 'Too long' }), /cannot name a lab/);
  t.throws(() => labSettings({ webPort: 70000 }), /not a port/);
  t.end();
});

t.test('every end of a cable is made once and joined to a switch', (t) => {
  const made = [...rackBatches(settings), ...BOTH.flatMap((n) => coServerBatches(settings, n))].flatMap((b) => b.lines);
  const ends = made.flatMap((l) => /^link add (\S+) type veth/.exec(l)?.[1] ?? []);
  t.equal(ends.length, 12);
  t.equal(new Set(ends).size, 12);
  for (const end of ends) t.equal(made.filter((l) => l.startsWith(`link set ${end} master `)).length, 1, end);
  const macs = made.flatMap((l) => /address (\S+)/.exec(l)?.[1] ?? []);
  t.equal(new Set(macs).size, 12, 'no MAC twice');
  t.match(macOf('A', 'link1'), /^02(:[0-9a-f]{2}){5}$/);
  t.ok(
    removalLines('A').every((l) => ends.includes(l.slice('link del '.length))),
    'removal names what was made',
  );
  t.end();
});

t.test('the links have no delayed acknowledgement, the business NIC has no address', (t) => {
  const own = coServerBatches(settings, 'B')[1]?.lines ?? [];
  t.ok(own.includes('route replace 10.76.1.0/24 dev link1 src 10.76.1.2 quickack 1'));
  t.ok(own.includes('route replace 10.76.2.0/24 dev link2 src 10.76.2.2 quickack 1'));
  t.notOk(own.some((l) => l.startsWith('addr') && l.includes('lan0')));
  t.end();
});

t.test('a server without power takes the carrier from its partner, its own ends first', (t) => {
  const lines = carrierLines({ powered: { A: false, B: true }, whole, lan }, BOTH);
  const down = lines.filter((l) => l.endsWith(' down'));
  t.same(
    down
      .slice(0, 4)
      .map((l) => l.split(' ')[2])
      .sort(),
    ['a-lan0', 'a-link1', 'a-link2', 'a-mgmt0'],
  );
  t.same(
    down
      .slice(4)
      .map((l) => l.split(' ')[2])
      .sort(),
    ['b-link1', 'b-link2'],
  );
  t.same(
    lines.filter((l) => l.endsWith(' up')),
    ['link set b-lan0 up', 'link set b-mgmt0 up'],
  );
  t.end();
});

t.test('frames stop before carriers do', (t) => {
  const both = { powered: { A: true, B: true }, whole, lan };
  const alone = { powered: { A: false, B: true }, whole, lan };
  const muted = muteLines(both, alone, BOTH);
  t.same(muted.map((l) => l.split(' ')[2]).sort(), ['a-lan0', 'a-link1', 'a-link2', 'a-mgmt0', 'b-link1', 'b-link2']);
  t.ok(muted.every((l) => l.endsWith(' type bridge_slave state 0')));
  t.same(muteLines(both, { ...both, whole: { 1: false, 2: true } }, BOTH).length, 2);
  t.same(muteLines(alone, both, BOTH), [], 'nothing when power returns');
  t.same(muteLines(alone, { ...alone, whole: { 1: false, 2: true } }, BOTH), [], 'a port that is down already cannot be told');
  t.end();
});

t.test('a cut link stays cut when power returns', (t) => {
  const lines = carrierLines({ powered: { A: true, B: true }, whole: { 1: false, 2: true }, lan }, BOTH);
  t.same(
    lines.filter((l) => l.endsWith(' down')),
    ['link set a-link1 down', 'link set b-link1 down'],
  );
  t.ok(lines.includes('link set a-link2 up'));
  t.ok(lines.includes('link set b-link2 up'));
  t.end();
});

t.test('a cut business cable takes the carrier of that CoServer alone, also when power returns', (t) => {
  const before = { powered: { A: true, B: true }, whole, lan };
  const after = { ...before, lan: { A: false, B: true } };
  t.same(muteLines(before, after, BOTH), ['link set a-lan0 type bridge_slave state 0']);
  t.same(
    carrierLines(after, BOTH).filter((l) => l.endsWith(' down')),
    ['link set a-lan0 down'],
  );
  t.end();
});

t.test('a CoServer whose NICs are not there is not named', (t) => {
  t.notOk(carrierLines({ powered: { A: true, B: false }, whole, lan }, ['A']).some((l) => l.includes(' b-')));
  t.end();
});
