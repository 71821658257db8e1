// A partner with the key that says what is not understood, as one of another release may, twice a second.
import t from 'tap';
import { ControlStream } from '../../../../../appliance/runtime/sources/control.ts';
import { STREAM_PORTS } from '../../../../../appliance/wire/channel-setup.ts';
import { deriveKey } from '../../../../../appliance/wire/keys.ts';
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
    { status: () => undefined, incident: () => understood(), problem: (text) => problems.push(text) },
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
