import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { type ForwardEvent, ForwardParser, PAGE_BYTES, type RamBlock } from '../../../../appliance/memory/codec.ts';
import { type ReturnMessage, ReturnParser } from '../../../../appliance/memory/return-codec.ts';
import { StreamError } from '../../../../appliance/memory/stream-error.ts';
import { recordedForward, recordedSession } from './recorded-session.ts';

const { synchronisation, request, checkpoints } = recordedForward();
const afterReady = Buffer.concat(checkpoints.flatMap((c) => [request, c]));

class Collected {
  bytes: Buffer[] = [];
  /** Each event with the number of bytes handed over before it. */
  events: (ForwardEvent & { at: number })[] = [];
  at = 0;
  readonly parser = new ForwardParser({
    bytes: (b) => {
      this.bytes.push(b);
      this.at += b.length;
    },
    event: (e) => this.events.push({ ...e, at: this.at }),
  });
}

/** Behind the synchronisation, READY passed. */
function synchronised(): Collected {
  const c = new Collected();
  c.parser.feed(synchronisation);
  c.parser.enterCheckpoints();
  return c;
}

function feedInPieces(parser: ForwardParser, bytes: Buffer, cuts: number[]): void {
  const at = [0, ...cuts.map((c) => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let i = 1; i < at.length; i++) parser.feed(bytes.subarray(at[i - 1], at[i]));
}

/** Of the recorded guest, at each of its checkpoints. */
const DEVICE_STATE_BYTES = 12_960;

t.test('the recorded session: every byte passes, every checkpoint is found', async (t) => {
  const c = new Collected();
  c.parser.feed(synchronisation);
  t.match(c.events, [{ kind: 'memory', totalBytes: 16 * 2 ** 20 + 256 * 1024 + 128 * 1024 + 0x20000 + 0x1000 + 0x1000 }]);
  t.equal(c.at, synchronisation.length);
  c.parser.enterCheckpoints();
  c.events = [];
  c.parser.feed(afterReady);
  let at = synchronisation.length;
  const expected = checkpoints.flatMap((checkpoint) => {
    const events = [
      { kind: 'request', at },
      { kind: 'sendBegin', at: at + 4 },
      // VMSTATE_SIZE and its 8 bytes stand before the device state.
      { kind: 'deviceState', at: at + 4 + checkpoint.length - DEVICE_STATE_BYTES - 12, bytes: DEVICE_STATE_BYTES },
      { kind: 'checkpointEnd', at: at + 4 + checkpoint.length, bytes: 4 + checkpoint.length },
    ];
    at += 4 + checkpoint.length;
    return events;
  });
  t.match(c.events, expected);
  t.equal(c.events.length, 12);
  t.ok(Buffer.concat(c.bytes).equals(Buffer.concat([synchronisation, afterReady])));
});

t.test('any cut of the bytes gives the same result', async () => {
  const whole = synchronised();
  whole.parser.feed(afterReady);
  const cuts = fc.array(fc.nat({ max: 2 ** 30 }), { maxLength: 40 });
  fc.assert(
    fc.property(cuts, cuts, (first, second) => {
      const c = new Collected();
      feedInPieces(c.parser, synchronisation, first);
      c.parser.enterCheckpoints();
      feedInPieces(c.parser, afterReady, second);
      return JSON.stringify(c.events) === JSON.stringify(whole.events) && c.at === whole.at;
    }),
    { numRuns: 60 },
  );
});

t.test('byte by byte through a checkpoint', async (t) => {
  const c = synchronised();
  for (const byte of afterReady.subarray(0, 6000)) c.parser.feed(Buffer.of(byte));
  const first = synchronised();
  first.parser.feed(afterReady.subarray(0, 6000));
  t.same(c.events, first.events);
});

t.test('a truncated checkpoint never ends', async () => {
  const bytes = Buffer.concat([request, checkpoints[0] ?? Buffer.alloc(0)]);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), (length) => {
      const c = synchronised();
      c.parser.feed(bytes.subarray(0, length));
      return !c.events.some((e) => e.kind === 'checkpointEnd');
    }),
  );
});

/** Feeds and answers the error's message; undefined: no error. */
function refusal(parse: () => void): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    if (error instanceof StreamError) return error.message;
    throw error;
  }
}

const be32 = (n: number) => Buffer.from([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
const be64 = (n: number) => Buffer.concat([be32(Math.floor(n / 2 ** 32)), be32(n % 2 ** 32)]);
const named = (name: string) => Buffer.concat([Buffer.of(name.length), Buffer.from(name)]);

t.test('what the qualified engine does not send ends protection, with its offset', async (t) => {
  const base = synchronisation.length;
  const ram = (...records: Buffer[]) => Buffer.concat([be32(1), be32(3), Buffer.of(3), be32(1), ...records]);
  const inRam = base + 13;
  const cases: [string, Buffer, string | RegExp][] = [
    ['xbzrle', ram(be64(0x1000 | 0x40 | 0x20)), `unknown flag 0x60 at offset ${inRam}`],
    ['multifd', ram(be64(0x200)), `unknown flag 0x200 at offset ${inRam}`],
    ['rdma hook', ram(be64(0x80)), `unknown flag 0x80 at offset ${inRam}`],
    ['two kinds at once', ram(be64(0x08 | 0x02 | 0x20)), `unknown flag 0x2a at offset ${inRam}`],
    ['another memory size', ram(be64(4096 | 0x04)), `unknown flag 0x4 at offset ${inRam}`],
    ['an unknown block', ram(be64(0x02), named('pc.evil'), Buffer.of(0)), /unknown block "pc.evil"/],
    ['a page behind the end', ram(be64(2 ** 40 + 0x02), named('pc.ram'), Buffer.of(0)), /behind its block's end \(0x10000000000\)/],
    ['a fill byte', ram(be64(0x02), named('pc.ram'), Buffer.of(7)), /unknown fill byte 0x7/],
    ['another section', ram(be64(0x10), Buffer.of(3), be32(9)), /unknown section id 0x9/],
    ['a command', ram(be64(0x10), Buffer.of(8), be32(0)), /unknown section 0x8/],
    ['no RAM', Buffer.concat([be32(1), be32(3), Buffer.of(0)]), /without RAM/],
    ['an unasked checkpoint', be32(3), `unknown message instead of 'request' 0x3 at offset ${base}`],
    ['two requests', Buffer.concat([be32(1), be32(1)]), `unknown message instead of 'send' 0x1 at offset ${base + 4}`],
    ['a message of the other direction', be32(6), /unknown message instead of 'request' 0x6/],
    [
      'an endless device state',
      Buffer.concat([ram(be64(0x10), Buffer.of(0x7e), be32(1), Buffer.of(0)), be32(4), be64(2 ** 50)]),
      /device state of 1125899906842624 bytes/,
    ],
  ];
  for (const [name, bytes, expected] of cases) {
    const message = refusal(() => synchronised().parser.feed(bytes));
    if (typeof expected === 'string') t.equal(message, expected, name);
    else t.match(message ?? 'accepted', expected, name);
  }
  t.match(
    refusal(() => new Collected().parser.feed(Buffer.from('GET / HTTP/1.1\r\n'))),
    /unknown magic 0x47455420 at offset 0/,
  );
  t.match(
    refusal(() => new Collected().parser.enterCheckpoints()),
    /READY in state 'preamble'/,
  );
});

t.test('hostile bytes: an error or nothing, in bounded time, and never more bytes out than in', async () => {
  const stream = Buffer.concat([synchronisation.subarray(0, 700), afterReady]);
  const mutation = fc.record({ at: fc.nat({ max: stream.length - 1 }), bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }) });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 5 }), fc.boolean(), (mutations, late) => {
      const hostile = Buffer.from(stream);
      for (const { at, bytes } of mutations) hostile.set(bytes.subarray(0, hostile.length - at), at);
      const c = late ? synchronised() : new Collected();
      const before = c.at;
      refusal(() => feedInPieces(c.parser, late ? hostile.subarray(700) : hostile, [1000, 5000]));
      return c.at - before <= hostile.length;
    }),
    { numRuns: 400 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (bytes, late) => {
      const c = late ? synchronised() : new Collected();
      refusal(() => c.parser.feed(Buffer.concat([late ? Buffer.alloc(0) : synchronisation.subarray(0, 31), bytes])));
      return true;
    }),
    { numRuns: 400 },
  );
});

t.test('what is told of pages: where each begins, in which block, and the checksum of what is there', async (t) => {
  const stream = Buffer.concat([synchronisation, afterReady]);
  const blocks = new Map<string, RamBlock>();
  const sums = new Map<number, number>();
  let begun: { offset: number; page: number } | undefined;
  let withContent = 0;
  let compared = 0;
  const parser = new ForwardParser({
    bytes: () => {},
    event: () => {},
    pages: {
      summedBlock: 'pc.ram',
      begins: (offset, page, block) => {
        blocks.set(block.name, block);
        begun = block.name === 'pc.ram' ? { offset, page } : undefined;
        if (begun) withContent++;
      },
      passed: (page, crc) => {
        if (begun?.page === page) {
          compared++;
          if (crc !== crc32(stream.subarray(begun.offset, begun.offset + PAGE_BYTES))) t.fail(`page ${page} at ${begun.offset}`);
        }
        begun = undefined;
        sums.set(page, crc);
      },
    },
  });
  parser.feed(synchronisation);
  parser.enterCheckpoints();
  parser.feed(afterReady);
  t.equal(sums.size, 4096, 'every page of 16 MiB, also those of zeros');
  t.ok(compared > 0);
  t.equal(compared, withContent, 'every page that begins is summed before the next one');
  t.ok(blocks.size > 1);
  const inOrder = [...blocks.values()].sort((a, b) => a.firstPage - b.firstPage);
  for (const [i, block] of inOrder.entries()) {
    const next = inOrder[i + 1];
    if (next) t.ok(block.firstPage + block.bytes / PAGE_BYTES <= next.firstPage, `${block.name} ends before ${next.name}`);
  }
});

t.test('the return path', async (t) => {
  const recorded = Buffer.concat(
    recordedSession()
      .filter((p) => p.direction === 'return')
      .map((p) => p.bytes),
  );
  const expected: ReturnMessage[] = ['preamble', 'preamble', 'ready'];
  for (let i = 0; i < 3; i++) expected.push('reply', 'received', 'loaded');
  for (const step of [1, 3, 7, 1000]) {
    const seen: ReturnMessage[] = [];
    const bytes: Buffer[] = [];
    const parser = new ReturnParser((message, b) => {
      seen.push(message);
      bytes.push(Buffer.from(b));
    });
    for (let at = 0; at < recorded.length; at += step) parser.feed(recorded.subarray(at, at + step));
    t.same(seen, expected);
    t.ok(Buffer.concat(bytes).equals(recorded));
  }
  const parse = (...words: number[]) => refusal(() => new ReturnParser(() => {}).feed(Buffer.concat(words.map(be32))));
  t.equal(parse(0, 6), "unknown return message 0x6 instead of 'reply' at offset 4", 'LOADED too early');
  t.equal(parse(0, 2, 2), "unknown return message 0x2 instead of 'received' at offset 8");
  t.match(parse(0x00010004, 5), /the secondary's engine could not load the guest \(5\) at offset 0/);
  t.match(parse(0x00090004, 5), /unknown return message 0x9/);
  t.match(parse(0x0002ffff), /unknown return message 0x2/, 'an endless message');
});
