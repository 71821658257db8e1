// A partner with the key that says what is not understood, as one of another release may, twice a second.
import t from 'tap';
import { ControlStream } from '../../../../../appliance/runtime/sources/control.ts';
import { STREAM_PORTS } from '../../../../../appliance/wire/channel-setup.ts';
import { deriveKey } from '../../../../../appliance/wire/keys.ts';
import { CONTROL_MESSAGE_MAX_BYTES, encodeFacts, type FactsMessage } from '../../../../../appliance/wire/partner-facts.ts';
import { encodeEvidence } from '../../../../../appliance/wire/partner-incident.ts';
import { PairChannel } from '../../../../../drivers/link/index.ts';

t.test('what is not understood is told once, and the rest is heard', { timeout: 60_000 }, async (t) => {
  const pairKey = Buffer.alloc(32, 7);
  const [a, b] = ['127.0.11.1', '127.0.11.2'];
  const problems: string[] = [];
  let understood: () => void = () => undefined;
  const heard = new Promise<void>((resolve) => {
    understood = resolve;
  });
  const links = [{ localAddress: a, remoteAddress: b }];
  const control = new ControlStream(
    { stream: 'control', side: 'A', links, pairKey },
    {
      status: () => undefined,
      incident: () => understood(),
      settings: () => undefined,
      facts: () => undefined,
      problem: (text) => problems.push(text),
    },
  );
  t.teardown(() => control.close());
  const partner = new PairChannel({
    side: 'B',
    port: STREAM_PORTS.control,
    links: [{ localAddress: b, remoteAddress: a }],
    key: deriveKey(pairKey, 'stream:control'),
  });
  t.teardown(() => partner.close());
  for (let i = 0; i < 20; i++) partner.send(Buffer.from(`{"coServer":"${i}"}`));
  partner.send(Buffer.from(encodeEvidence('A-1', ['a line'])));
  await heard;
  t.match(problems, [/cannot be understood/]);
  t.equal(problems.length, 1);
});

t.test('what a server is made of is told when it is known, and again to a partner that was restarted', { timeout: 60_000 }, async (t) => {
  const pairKey = Buffer.alloc(32, 8);
  const [a, b] = ['127.0.12.1', '127.0.12.2'];
  const stream = (side: 'A' | 'B', own: string, other: string, heard: (m: FactsMessage) => void, problem: (text: string) => void) =>
    new ControlStream(
      { stream: 'control', side, links: [{ localAddress: own, remoteAddress: other }], pairKey },
      { status: () => undefined, incident: () => undefined, settings: () => undefined, facts: heard, problem },
    );
  const listen = () => {
    const problems: string[] = [];
    const { promise, resolve } = Promise.withResolvers<FactsMessage>();
    const partner = stream('B', b, a, resolve, (text) => problems.push(text));
    return { partner, promise, problems };
  };
  const control = stream(
    'A',
    a,
    b,
    () => undefined,
    () => undefined,
  );
  t.teardown(() => control.close());
  const facts = { incarnation: 'one', server: { schema: 1 } };
  control.tellFacts(encodeFacts(facts));
  const first = listen();
  t.same(await first.promise, facts);
  await first.partner.close();
  const second = listen();
  t.same(await second.promise, facts, 'nobody asked for it');
  t.same(second.problems, []);
  await second.partner.close();
});

t.test('a message that is too long is not read', { timeout: 60_000 }, async (t) => {
  const pairKey = Buffer.alloc(32, 9);
  const [a, b] = ['127.0.13.1', '127.0.13.2'];
  const { promise, resolve } = Promise.withResolvers<string>();
  let heard = 0;
  const control = new ControlStream(
    { stream: 'control', side: 'A', links: [{ localAddress: a, remoteAddress: b }], pairKey },
    { status: () => undefined, incident: () => undefined, settings: () => undefined, facts: () => heard++, problem: resolve },
  );
  t.teardown(() => control.close());
  const partner = new PairChannel({
    side: 'B',
    port: STREAM_PORTS.control,
    links: [{ localAddress: b, remoteAddress: a }],
    key: deriveKey(pairKey, 'stream:control'),
  });
  t.teardown(() => partner.close());
  const server = { long: 'x'.repeat(CONTROL_MESSAGE_MAX_BYTES) };
  partner.send(Buffer.from(JSON.stringify({ settings: () => undefined, facts: { schema: 1, incarnation: 'one', server } })));
  t.match(await promise, /a message of 65\d{3} bytes/);
  t.equal(heard, 0);
  t.throws(() => encodeFacts({ incarnation: 'one', server }), /the partner reads 65536/, 'and it is not sent by ours');
});
