import fc from 'fast-check';
import t from 'tap';
import { Inbox, MESSAGE_OVERHEAD_BYTES, Outbox } from '../../../../drivers/link/session.ts';

const message = (n: number) => [Buffer.from(String(n))];

t.test('what was not transmitted cannot be acknowledged', async (t) => {
  const outbox = new Outbox(1000);
  outbox.add(message(1));
  outbox.add(message(2));
  t.throws(() => outbox.acknowledge(1), /message 1 is acknowledged, the last one sent is 0/);
  t.equal(outbox.take(0)?.sequence, 1);
  t.equal(outbox.acknowledge(1), true);
  t.equal(outbox.acknowledge(1), false);
  t.throws(() => outbox.acknowledge(2), /the last one sent is 1/);
});

t.test('the window bounds what is under way, not a single large message', async (t) => {
  const outbox = new Outbox(300);
  outbox.add([Buffer.alloc(5000)]);
  outbox.add(message(2));
  t.equal(outbox.take(0)?.sequence, 1);
  t.equal(outbox.take(0), undefined);
  outbox.acknowledge(1);
  t.equal(outbox.take(1)?.sequence, 2);
  t.equal(outbox.cost, 1 + MESSAGE_OVERHEAD_BYTES);
});

t.test('an inbox refuses more than its window out of order', async (t) => {
  const inbox = new Inbox(1000);
  t.equal(inbox.offer(2, Buffer.alloc(400)), 'new');
  t.equal(inbox.offer(2, Buffer.alloc(400)), 'duplicate');
  t.throws(() => inbox.offer(3, Buffer.alloc(400)), /wait for message 1: more than the window of 1000/);
  inbox.offer(1, Buffer.alloc(0));
  t.equal(inbox.take()?.length, 0);
  t.equal(inbox.take()?.length, 400);
  t.equal(inbox.take(), undefined);
  t.equal(inbox.waitingCost, 0);
});

// Two links that deliver in order each, in any interleaving, and are lost at any time with everything on them.
t.test('any interleaving and any loss of links: each message once, in order, within the window', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), bytes: fc.nat(200) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('transmit' as const), link: fc.nat(1) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('arrive' as const), link: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), link: fc.nat(1) }) },
  );
  const windowBytes = 1500;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const outbox = new Outbox(windowBytes);
      const inbox = new Inbox(windowBytes);
      const wires: { sequence: number; payload: Buffer }[][] = [[], []];
      let sent = 0;
      let received = 0;
      const transmit = (link: number) => {
        const m = outbox.take(link);
        if (m) wires[link]?.push({ sequence: m.sequence, payload: Buffer.concat(m.parts) });
        return m !== undefined;
      };
      const arrive = (link: number) => {
        const m = wires[link]?.shift();
        if (!m) return false;
        inbox.offer(m.sequence, m.payload);
        for (let p = inbox.take(); p; p = inbox.take()) {
          if (p.readUInt32BE(0) !== received++) throw new Error(`message ${p.readUInt32BE(0)} as number ${received - 1}`);
        }
        return true;
      };
      for (const s of steps) {
        switch (s.kind) {
          case 'send': {
            const payload = Buffer.alloc(4 + s.bytes);
            payload.writeUInt32BE(sent++, 0);
            outbox.add([payload]);
            break;
          }
          case 'transmit':
            transmit(s.link);
            break;
          case 'arrive':
            arrive(s.link);
            break;
          case 'acknowledge':
            if (inbox.delivered > 0) outbox.acknowledge(inbox.delivered);
            break;
          case 'lose':
            wires[s.link] = [];
            outbox.loseLink(s.link);
            break;
          default:
            s satisfies never;
        }
      }
      // Quiet from here: everything must arrive over one link.
      for (let rounds = 0; received < sent; rounds++) {
        if (rounds > sent + 5) throw new Error(`stuck at ${received} of ${sent}`);
        outbox.loseLink(1);
        wires[1] = [];
        while (transmit(0));
        while (arrive(0));
        if (inbox.delivered > 0) outbox.acknowledge(inbox.delivered);
      }
      if (inbox.delivered > 0) outbox.acknowledge(inbox.delivered);
      if (outbox.count !== 0 || outbox.cost !== 0 || inbox.waitingCost !== 0) throw new Error('something is left');
    }),
    { numRuns: 500 },
  );
});

t.test('long sessions do not grow', async (t) => {
  const outbox = new Outbox(10_000);
  for (let i = 1; i <= 100_000; i++) {
    outbox.add(message(i));
    outbox.take(0);
    if (i % 10 === 0) outbox.acknowledge(i);
  }
  t.equal(outbox.count, 0);
  t.equal(outbox.cost, 0);
});
