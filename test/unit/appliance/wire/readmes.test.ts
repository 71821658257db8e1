// The streams' own tables stand in the READMEs of their rooms: their examples are found there as the code makes them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeLockstep, outputsHeader } from '../../../../appliance/gate/partner-lockstep.ts';
import { encodeAddresses, inputsHeader } from '../../../../appliance/gate/partner-messages.ts';
import { encodeMessage, MEMORY_STREAM_VERSION, type MemoryMessage } from '../../../../appliance/memory/messages.ts';
import { encodeMessageHeader } from '../../../../appliance/mirror/messages.ts';
import { STREAM_PORTS } from '../../../../appliance/wire/channel-setup.ts';
import { exampleText } from './readme-examples.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const readme = (room: string): string => readFileSync(join(ROOT, 'appliance', room, 'README.md'), 'utf8');
/** Each group of hex between backticks or in a block, without its spaces. */
const packed = (text: string): string => text.replace(/[ \t]+/g, '');

t.test('memory', async (t) => {
  const session = 0x01020304;
  const messages: MemoryMessage[] = [
    { kind: 'begin', session, version: MEMORY_STREAM_VERSION },
    { kind: 'data', session, bytes: Buffer.from('abc') },
    { kind: 'released', session },
    { kind: 'committed', session, interval: 258 },
    { kind: 'consumed', session, bytes: 2 ** 33 },
    { kind: 'end', session, cause: 'protocol', reason: 'no' },
    { kind: 'final', session, interval: 7 },
  ];
  const made = messages.map((m) => Buffer.concat(encodeMessage(m)).toString('hex'));
  t.same(
    packed(exampleText('appliance/memory/README.md', 'hex', 'messages'))
      .trim()
      .split('\n'),
    made,
  );
});

t.test('disk', async (t) => {
  const write = {
    kind: 'write' as const,
    fua: true,
    attachment: 0x01020304,
    request: 9,
    interval: 3,
    offset: 4096,
    length: 512,
    status: 'ok' as const,
  };
  t.ok(packed(readme('mirror')).includes(`\`${encodeMessageHeader(write).toString('hex')}\``));
});

t.test('network', async (t) => {
  const text = packed(readme('gate'));
  const key = Buffer.from('0a4d000a0a4d000100509c40', 'hex').toString('latin1');
  const isn = encodeLockstep({ kind: 'isn', interval: 2, key, sequence: 999, timestamp: null, answers: 100 });
  t.ok(text.includes(`\`${isn.toString('hex')}\``), 'isn');
  t.ok(text.includes(`\`${inputsHeader(0x01020304).toString('hex')}0000000eeeee...\``), 'inputs');
  const addresses = encodeAddresses(Buffer.from('52540077001a', 'hex'), [{ rank: 'claimed', hex: '0a4d000a' }]);
  t.ok(text.includes(`\`${addresses.toString('hex')}\``), 'addresses');
  t.equal(outputsHeader(7, 2).toString('hex'), '060000000700000002');
});

t.test('the index names every stream with its port', async (t) => {
  const text = readme('wire');
  for (const [stream, port] of Object.entries(STREAM_PORTS)) t.match(text, new RegExp(`\\| - ${stream}, ${port} `), stream);
});
