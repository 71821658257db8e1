// What iproute2 is asked for the links, and that nothing it answers stops the appliance.
import t from 'tap';
import { acknowledgeAtOnce, type RunProgram, sortLinkQueue } from '../../../../appliance/runtime/effects/link-queues.ts';

/** A kernel: `shows` what is there, refuses what is in `lacks`; keeps what it was asked to change. */
function kernel(shows: string, lacks: string[] = []): { run: RunProgram; changes: string[] } {
  const changes: string[] = [];
  return {
    changes,
    run: async (program, args) => {
      if (args.includes('show')) return shows;
      if (lacks.some((l) => args.includes(l))) throw new Error('Error: Specified qdisc kind is unknown.');
      changes.push([program, ...args].join(' '));
      return '';
    },
  };
}

t.test('five classes where the kernel has them, three where not', async (t) => {
  const full = kernel('qdisc mq 0: root \nqdisc fq_codel 0: parent :1 limit 10240p\n');
  t.equal(await sortLinkQueue('link1', full.run), '');
  t.same(full.changes, ['tc qdisc replace dev link1 root handle 7: prio bands 5 priomap 2 4 3 3 2 2 1 0 2 2 2 2 2 2 2 2']);
  const small = kernel('qdisc noqueue 0: root refcnt 2 \n', ['prio']);
  t.equal(await sortLinkQueue('link1', small.run), '');
  t.same(small.changes, ['tc qdisc replace dev link1 root handle 7: pfifo_fast']);
});

t.test('a rate limit of somebody else stays, sorted inside', async (t) => {
  const limited = kernel('qdisc tbf 8001: root refcnt 3 rate 1Gbit burst 128Kb lat 20ms \n');
  t.equal(await sortLinkQueue('link1', limited.run), '');
  t.match(limited.changes, [/^tc qdisc replace dev link1 parent 8001:1 handle 7: prio /]);
});

t.test('a kernel that cannot: a reason, no failure', async (t) => {
  const none = kernel('qdisc noqueue 0: root refcnt 2 \n', ['prio', 'pfifo_fast']);
  t.equal(
    await sortLinkQueue('link1', none.run),
    "link1: the kernel does not sort the link's frames by class (prio: Error: Specified qdisc kind is unknown.; pfifo_fast: Error: Specified qdisc kind is unknown.)",
  );
  const missing: RunProgram = () => Promise.reject(new Error('spawn tc ENOENT'));
  t.equal(await sortLinkQueue('link1', missing), "link1: the link's queue cannot be set: spawn tc ENOENT");
  t.match(await acknowledgeAtOnce({ nic: 'link1', localAddress: '10.76.1.1' }, missing), /may be delayed by 40 ms: spawn tc ENOENT/);
});

t.test('acknowledgements at once: the route as it is, and no more than once', async (t) => {
  const link = { nic: 'link1', localAddress: '10.76.1.1' };
  const kernelsOwn = kernel('10.76.1.0/24 proto kernel src 10.76.1.1 linkdown \n');
  t.equal(await acknowledgeAtOnce(link, kernelsOwn.run), '');
  t.same(kernelsOwn.changes, ['ip -4 route replace 10.76.1.0/24 proto kernel src 10.76.1.1 dev link1 quickack 1']);
  const done = kernel('10.76.1.0/24 src 10.76.1.1 quickack 1 \n');
  t.equal(await acknowledgeAtOnce(link, done.run), '');
  t.same(done.changes, []);
  t.match(await acknowledgeAtOnce(link, kernel('10.76.1.0/24 src 10.76.1.11 \n').run), /no route from 10.76.1.1:/);
});
