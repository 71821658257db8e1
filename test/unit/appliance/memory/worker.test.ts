import fc from 'fast-check';
import t from 'tap';
import type { CheckpointReport } from '../../../../appliance/memory/api.ts';
import { PairFixture, PREAMBLE, request, synchronisation, WORD } from './pair-fixture.ts';

const PREAMBLE_AND_READY = Buffer.concat([PREAMBLE, Buffer.from(WORD.ready, 'hex')]);

async function withPair(body: (pair: PairFixture) => Promise<void>, earlyAcknowledge = false): Promise<void> {
  const pair = new PairFixture({ earlyAcknowledge });
  try {
    await body(pair);
  } finally {
    await pair.end();
  }
}

/** Until the messages under way have arrived: both channels deliver one turn later, ports and sockets a few more. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 30));
}

for (const early of [false, true]) {
  t.test(`the order inside a checkpoint${early ? ', acknowledged early' : ''}`, async (t) => {
    await withPair(async (pair) => {
      await pair.protect();
      t.equal(pair.a.interval.current, 1);
      for (const n of [1, 2, 3]) await pair.wholeCheckpoint(n);
      const at = (entry: string) => pair.logged(entry);
      for (const n of [1, 2, 3]) {
        t.ok(
          (await at(`A cut ${n} @${n}`)) < (await at(`A output ${n} @${n + 1}`)),
          'output leaves after the cut, under the next interval',
        );
        t.ok((await at(`B decided ${n}`)) < (await at(`B apply ${n}`)));
        t.ok((await at(`B decided ${n}`)) < (await at(`A output ${n}`)), 'output leaves after the decision');
        t.ok((await at(`B apply ${n}`)) < (await at(`B output ${n}`)), 'the secondary forgets inputs after it has loaded');
      }
      t.equal(
        pair.log.some((e) => /^A engine .*00000006 @1$/.test(e)),
        false,
        'LOADED never arrives under the interval it ends',
      );
      t.same(await pair.a.memory.call('status', {}), {
        audit: null,
        role: 'source',
        phase: 'running',
        committed: 3,
        loaded: 3,
        checkpoints: 3,
        transferredBytes: synchronisation.length + 12 + pair.checkpoint(1).length + pair.checkpoint(2).length + pair.checkpoint(3).length,
      });
      t.match(await pair.b.memory.call('status', {}), { role: 'target', phase: 'running', committed: 3, loaded: 3 });
      t.match(await pair.a.until('checkpoint', 2), { interval: 2, bytes: 4 + pair.checkpoint(2).length, deviceStateBytes: Number });
    }, early);
  });
}

t.test(
  'lockstep: the gates hear READY and REPLY in band, and nothing of a checkpoint passes the cut of the replica’s output',
  async (t) => {
    // Early acknowledgement is asked for, and must not happen.
    const pair = new PairFixture({ earlyAcknowledge: true, lockstep: true });
    try {
      await pair.connect();
      pair.primary.say(synchronisation);
      await pair.secondary.until(synchronisation.length);
      pair.secondary.say(PREAMBLE_AND_READY);
      await pair.a.until('readyHeld');
      t.ok((await pair.logged('B ready')) >= 0);
      await pair.a.memory.call('releaseReady', {});
      await pair.b.until('started');
      await pair.primary.until(PREAMBLE_AND_READY.length);
      const [atPrimary, atSecondary] = [pair.primary.length, pair.secondary.length];
      const cut = Promise.withResolvers<void>();
      pair.b.replied = () => cut.promise;
      pair.primary.say(request);
      await pair.secondary.until(atSecondary + 4);
      pair.secondary.say(WORD.reply);
      await pair.logged('B replied 1');
      await settle();
      t.equal(pair.primary.length, atPrimary, 'the primary does not stop before the replica’s output is cut');
      t.notOk(pair.log.some((e) => e.startsWith('A replied')));
      cut.resolve();
      await pair.primary.until(atPrimary + 4);
      t.ok((await pair.logged('A replied 1')) >= 0);
      pair.primary.say(pair.checkpoint(1));
      await pair.secondary.until(atSecondary + 4 + pair.checkpoint(1).length);
      await pair.logged('A output 1');
      await settle();
      t.equal(pair.primary.length, atPrimary + 4, 'no word that the replica’s engine has not said');
      t.ok((await pair.logged('A replied 1')) < (await pair.logged('A cut 1')));
      pair.secondary.say(WORD.received);
      pair.secondary.say(WORD.loaded);
      await pair.primary.until(atPrimary + 12);
      await pair.logged('B output 1');
    } finally {
      await pair.end();
    }
  },
);

t.test('lockstep: READY does not pass before the gate can feed the replica, and never when it cannot', async (t) => {
  const pair = new PairFixture({ earlyAcknowledge: false, lockstep: true });
  try {
    await pair.connect();
    pair.primary.say(synchronisation);
    await pair.secondary.until(synchronisation.length);
    const gate = Promise.withResolvers<void>();
    pair.b.ready = () => gate.promise;
    pair.secondary.say(PREAMBLE_AND_READY);
    await pair.logged('B ready');
    await settle();
    t.notOk(pair.a.has('readyHeld') || pair.b.has('readyHeld'));
    gate.reject(new Error('no session has begun'));
    t.match(await pair.b.until('lost'), { cause: 'protocol', reason: /the gate cannot feed the replica: .*no session has begun/ });
    t.match(await pair.a.until('lost'), { reason: /no session has begun/ }, 'the primary says why');
    t.notOk(pair.a.has('readyHeld'));
  } finally {
    await pair.end();
  }
});

t.test('lockstep: a replica whose output cannot be cut ends the session', async (t) => {
  const pair = new PairFixture({ earlyAcknowledge: false, lockstep: true });
  try {
    await pair.protect();
    pair.b.replied = () => Promise.reject(new Error('it goes on sending'));
    pair.primary.say(request);
    await pair.secondary.until(4);
    pair.secondary.say(WORD.reply);
    t.match(await pair.b.until('lost'), { cause: 'protocol', reason: /did not cut the replica's output: .*it goes on sending/ });
  } finally {
    await pair.end();
  }
});

t.test('READY is held until it is released, under interval 0', async (t) => {
  await withPair(async (pair) => {
    await pair.connect();
    pair.primary.say(synchronisation);
    await t.rejects(pair.a.memory.call('releaseReady', {}), { message: /READY is not held, the phase is '(precopy|listening)'/ });
    await pair.secondary.until(synchronisation.length);
    t.ok(pair.secondary.received.equals(synchronisation), 'every byte of the synchronisation arrives as it was sent');
    pair.secondary.say(WORD.ready);
    await pair.a.until('readyHeld');
    await pair.b.until('readyHeld');
    await settle();
    t.equal(pair.primary.length, 0);
    t.equal(pair.a.interval.current, 0);
    t.equal(pair.b.has('started'), false);
    await pair.a.memory.call('releaseReady', {});
    await pair.primary.until(4);
    t.equal(pair.a.interval.current, 1);
    t.same(await pair.b.until('started'), { interval: 1 });
  });
});

t.test('LOADED waits for the gate, the gate for the decision', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    const gate = Promise.withResolvers<void>();
    const mirror = Promise.withResolvers<void>();
    pair.a.cut = () => gate.promise;
    pair.b.decide = () => mirror.promise;
    await pair.request();
    const before = pair.secondary.length;
    pair.primary.say(pair.checkpoint(1));
    await settle();
    t.equal(pair.secondary.length, before, 'nothing of the checkpoint before the decision');
    mirror.resolve();
    await pair.secondary.until(before + pair.checkpoint(1).length);
    t.ok(pair.secondary.received.subarray(before).equals(pair.checkpoint(1)));
    pair.secondary.say(WORD.received);
    pair.secondary.say(WORD.loaded);
    await settle();
    t.equal(pair.a.interval.current, 1, 'the interval does not end before the cut');
    t.equal(pair.primary.received.subarray(-4).toString('hex'), WORD.received);
    t.equal(
      pair.log.some((e) => e.startsWith('A output')),
      false,
    );
    gate.resolve();
    await pair.primary.until(12);
    t.equal(pair.primary.received.subarray(-4).toString('hex'), WORD.loaded);
    t.equal(pair.a.interval.current, 2);
    await pair.logged('A output 1');
  });
});

t.test('early: the engine goes on while the secondary still decides, but never a second checkpoint ahead', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    const mirror = Promise.withResolvers<void>();
    pair.b.decide = (n) => (n === 1 ? mirror.promise : Promise.resolve());
    await pair.request();
    const [atPrimary, atSecondary] = [pair.primary.length, pair.secondary.length];
    pair.primary.say(pair.checkpoint(1));
    await pair.primary.until(atPrimary + 8);
    t.equal(pair.a.interval.current, 2);
    t.equal(
      pair.log.some((e) => e.startsWith('A output')),
      false,
      'the output is still held',
    );
    pair.primary.say('00000001');
    await settle();
    t.equal(pair.primary.length, atPrimary + 8, 'no REPLY: the guest runs on');
    t.equal(pair.secondary.length, atSecondary, 'the next REQUEST stays behind the undecided checkpoint');
    mirror.resolve();
    await pair.secondary.until(atSecondary + pair.checkpoint(1).length + 4);
    t.equal(pair.secondary.received.subarray(-4).toString('hex'), '00000001');
    t.equal(pair.primary.length, atPrimary + 8, 'still no REPLY: the secondary has a checkpoint to load');
    pair.secondary.say(WORD.received);
    pair.secondary.say(WORD.loaded);
    await pair.primary.until(atPrimary + 12);
    t.equal(pair.primary.received.subarray(-4).toString('hex'), WORD.reply);
  }, true);
});

t.test('early: the primary stops at once, the private writes are dropped only when the replica has stopped', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    pair.primary.say('00000001');
    await pair.primary.until(4);
    t.equal(pair.primary.received.toString('hex'), WORD.reply);
    pair.primary.say(pair.checkpoint(1));
    await pair.logged('A output 1');
    await settle();
    t.equal(
      pair.log.some((e) => e.startsWith('B apply')),
      false,
      'decided, the output left, but not applied',
    );
    pair.secondary.say(WORD.reply);
    await pair.logged('B apply 1');
    await pair.secondary.until(4 + pair.checkpoint(1).length);
    pair.secondary.say(WORD.received);
    pair.secondary.say(WORD.loaded);
    t.match(await pair.a.until('checkpoint'), { interval: 1 });
    t.equal(pair.primary.length, 12, 'each word once');
  }, true);
});

t.test('a power failure at any byte of a checkpoint: the secondary gets nothing of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0, max: 0.999999, noNaN: true }), async (share) => {
      await withPair(async (pair) => {
        await pair.protect();
        await pair.wholeCheckpoint(1);
        await pair.request();
        const atSecondary = pair.secondary.length;
        pair.primary.say(pair.checkpoint(2).subarray(0, Math.floor(share * pair.checkpoint(2).length)));
        await settle();
        pair.link.cut();
        const rolled = await pair.b.memory.call('rollForward', {});
        if (rolled.committed !== 1 || rolled.loaded !== 1) throw new Error(JSON.stringify(rolled));
        if (pair.secondary.length !== atSecondary) throw new Error('a truncated checkpoint reached the engine');
        await pair.b.memory.call('detach', {});
        await pair.secondary.untilEnded();
        if (pair.secondary.length !== atSecondary) throw new Error('bytes after the takeover');
        // The return path is still read: the engine may write without being blocked or reset.
        pair.secondary.say(Buffer.alloc(100_000));
        await pair.b.memory.call('stop', {});
        if (pair.b.interval.current !== 0) throw new Error('the interval did not end');
      });
    }),
    { numRuns: 12 },
  );
});

t.test('roll forward: a committed checkpoint is loaded first', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    const mirror = Promise.withResolvers<void>();
    pair.b.decide = () => mirror.promise;
    await pair.request();
    const atSecondary = pair.secondary.length;
    pair.primary.say(pair.checkpoint(1));
    await pair.logged('B decide 1');
    pair.link.cut();
    const rolling = pair.b.memory.call('rollForward', {});
    await settle();
    mirror.resolve();
    await pair.secondary.until(atSecondary + pair.checkpoint(1).length);
    pair.secondary.say(WORD.received);
    await settle();
    pair.secondary.say(WORD.loaded);
    t.match(await rolling, { committed: 1, loaded: 1 });
  });
});

t.test('roll forward refuses where memory and disk could differ', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    pair.b.decide = () => Promise.reject(new Error('input/output error'));
    await pair.request();
    pair.primary.say(pair.checkpoint(1));
    t.match(await pair.b.until('lost'), { cause: 'protocol', reason: /interval 1 cannot be completed here: .*input\/output error/ });
    t.match(await pair.a.until('lost'), { role: 'source', reason: /the partner ended the session/ });
    await t.rejects(pair.b.memory.call('rollForward', {}), { message: /interval 1 cannot be completed here/ });
  });
  await withPair(async (pair) => {
    await pair.connect();
    await t.rejects(pair.b.memory.call('rollForward', {}), { message: /nothing to take over: protection had not begun/ });
    await t.rejects(pair.a.memory.call('rollForward', {}), { message: /'rollForward' is for the secondary, the role here is 'source'/ });
  });
  await withPair(async (pair) => {
    await pair.protect();
    await pair.request();
    const atSecondary = pair.secondary.length;
    pair.primary.say(pair.checkpoint(1));
    await pair.secondary.until(atSecondary + 1);
    pair.secondary.socket.destroy();
    await t.rejects(pair.b.memory.call('rollForward', {}), { message: /the engine ended before it loaded the committed interval 1/ });
  });
});

t.test('what ends a session is said once on both sides, and the engines are left alone', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    pair.primary.say(Buffer.from('000000010000000303', 'hex'));
    pair.primary.say(Buffer.from('00000001 0000000000000240'.replaceAll(' ', ''), 'hex'));
    t.match(await pair.a.until('lost'), { role: 'source', cause: 'protocol', reason: /unknown flag 0x240 at offset \d+/ });
    t.match(await pair.b.until('lost'), { role: 'target', cause: 'protocol', reason: /the partner ended the session: unknown flag 0x240/ });
    await settle();
    t.equal(pair.a.events.filter((e) => e.name === 'lost').length, 1);
    t.equal(pair.primary.ended, false);
    t.equal(pair.secondary.ended, false);
    t.equal(pair.a.interval.current, 1, 'held output stays held until somebody decides');
    t.match(await pair.b.memory.call('rollForward', {}), { committed: 0, loaded: 0 });
  });
  await withPair(async (pair) => {
    await pair.protect();
    pair.link.a.reset();
    t.match(await pair.a.until('lost'), { cause: 'channel' });
    t.match(await pair.b.until('lost'), { cause: 'channel' });
  });
  await withPair(async (pair) => {
    await pair.protect();
    pair.secondary.socket.destroy();
    t.match(await pair.b.until('lost'), { cause: 'engine', reason: "the secondary's engine closed the migration" });
    t.match(await pair.a.until('lost'), { cause: 'engine', reason: /the partner ended the session: the secondary's engine closed/ });
    t.equal(pair.primary.ended, false);
  });
});

t.test('the guest shuts down: its last interval is committed without a checkpoint', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    await pair.wholeCheckpoint(1);
    await t.rejects(pair.a.memory.call('commitFinal', {}), { message: /the session has not ended/ });
    pair.log.length = 0;
    pair.primary.socket.destroy();
    await pair.a.until('lost');
    t.same(await pair.a.memory.call('commitFinal', {}), { committed: 2 });
    t.same(pair.log, ['A cut 2 @2', 'B decide 2 @2', 'B decided 2 @2', 'B apply 2 @2', 'A output 2 @2']);
    await t.rejects(pair.b.memory.call('rollForward', {}), { message: /the guest has shut down/ });
  });
  await withPair(async (pair) => {
    await pair.protect();
    pair.primary.socket.destroy();
    await pair.b.until('lost');
    t.match(await pair.b.memory.call('rollForward', {}), { committed: 0 });
    await t.rejects(pair.a.memory.call('commitFinal', {}), { message: /the partner refused the final interval: the secondary takes over/ });
    t.equal(
      pair.log.some((e) => e.startsWith('A output')),
      false,
    );
  });
});

t.test('nobody there: the primary is told, not left waiting; then again, properly', async (t) => {
  await withPair(async (pair) => {
    await pair.a.memory.call('startSource', {});
    const { connect } = await import('node:net');
    const socket = connect(pair.a.setup.sourceSocketPath);
    t.match(await pair.a.until('lost'), { cause: 'channel', reason: /no secondary awaits the stream on the partner/ });
    socket.destroy();
    await pair.protect();
    await pair.wholeCheckpoint(1);
  });
});

t.test('a second session after the first, with both sides the other way round', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    await pair.wholeCheckpoint(1);
    await pair.a.memory.call('stop', {});
    t.match(await pair.b.until('lost'), { reason: /the primary stopped the protection/ });
    await pair.b.memory.call('stop', {});
    t.equal(pair.a.interval.current, 0);
    t.equal(pair.b.interval.current, 0);
    t.match(await pair.b.memory.call('status', {}), { role: 'none', phase: 'idle', committed: 0 });
    await pair.a.memory.call('startTarget', {});
    await pair.b.memory.call('startSource', {});
    t.match(await pair.b.memory.call('status', {}), { role: 'source', phase: 'listening' });
  });
});

t.test('back-pressure: a secondary that does not read stops the primary', async (t) => {
  await withPair(async (pair) => {
    await pair.connect();
    pair.secondary.socket.pause();
    // A preamble, then pages without end.
    const head = synchronisation.subarray(0, synchronisation.indexOf(Buffer.from('pc.ram')) + 6);
    const blocks = synchronisation.indexOf(Buffer.from('7e00000001', 'hex')) + 10;
    pair.primary.say(synchronisation.subarray(0, blocks));
    const page = Buffer.alloc(8 + 7 + 4096);
    page.set(Buffer.from('000000000000000806', 'hex'));
    page.set(Buffer.from('pc.ram'), 9);
    t.ok(head.length > 0);
    const many = Buffer.concat(Array.from({ length: 1000 }, () => page));
    for (let i = 0; i < 5; i++) pair.primary.say(many);
    const deadline = performance.now() + 5000;
    let { transferredBytes } = await pair.a.memory.call('status', {});
    while (transferredBytes <= 3_000_000 && performance.now() < deadline) {
      await settle();
      ({ transferredBytes } = await pair.a.memory.call('status', {}));
    }
    await settle();
    await settle();
    ({ transferredBytes } = await pair.a.memory.call('status', {}));
    t.ok(transferredBytes > 3_000_000 && transferredBytes < 7_000_000, `${transferredBytes} of 20 MB were read`);
    t.ok(pair.primary.socket.writableLength > 10_000_000, 'the engine is held back');
    pair.secondary.socket.resume();
    await pair.secondary.until(blocks + 5 * many.length);
  });
});

t.test('a batch that cannot be unpacked ends the session; nothing of it reaches the engine', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    const session = pair.link.a.sent[0]?.subarray(4, 8) ?? Buffer.alloc(0);
    pair.link.a.send(Buffer.from('08000000', 'hex'), session, Buffer.alloc(24, 1));
    t.match(await pair.b.until('lost'), { cause: 'protocol', reason: /^memory stream: batch 16843009: / });
    t.match(await pair.a.until('lost'), { cause: 'protocol', reason: /the partner ended the session: memory stream: batch 16843009/ });
    t.equal(pair.secondary.length, 0);
  });
});

t.test('checkpoints take a fraction on the links from the second on, and say so', async (t) => {
  await withPair(async (pair) => {
    await pair.protect();
    for (const n of [1, 2, 3]) await pair.wholeCheckpoint(n);
    const last = (await pair.a.until('checkpoint', 3)) as CheckpointReport;
    t.equal(last.bytes, 4 + pair.checkpoint(3).length);
    t.ok(last.sentBytes > 0 && last.sentBytes < last.bytes / 20, `${last.sentBytes} of ${last.bytes}`);
    t.ok(pair.secondary.received.subarray(-pair.checkpoint(3).length).equals(pair.checkpoint(3)));
  });
});
