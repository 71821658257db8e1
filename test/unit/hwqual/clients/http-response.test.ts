import fc from 'fast-check';
import t from 'tap';
import { HttpResponseReader } from '../../../../hwqual/lab/clients/http-response.ts';

const STREAM = Buffer.from(
  'HTTP/1.1 102 Processing\r\nX-Received: 8192\r\n\r\n' +
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello' +
    'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n' +
    'HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n',
);

function read(pieces: Buffer[]): string[] {
  const reader = new HttpResponseReader();
  const seen: string[] = [];
  let body = '';
  for (const event of pieces.flatMap((piece) => reader.push(piece))) {
    if (event.kind === 'head') seen.push(`${event.status} ${event.headers.get('x-received') ?? event.length}`);
    else if (event.kind === 'body') body += event.piece.toString();
    else {
      seen.push(`end ${JSON.stringify(body)}`);
      body = '';
    }
  }
  t.ok(reader.isBetween);
  return seen;
}

const EXPECTED = ['102 8192', '200 5', 'end "hello"', '200 0', 'end ""', '404 3', 'end "no\\n"'];

t.test('cut anywhere, the same responses', async (t) => {
  t.strictSame(read([STREAM]), EXPECTED);
  t.strictSame(read([...STREAM].map((byte) => Buffer.from([byte]))), EXPECTED);
  fc.assert(
    fc.property(fc.nat(STREAM.length), fc.nat(STREAM.length), (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      t.strictSame(read([STREAM.subarray(0, from), STREAM.subarray(from, to), STREAM.subarray(to)]), EXPECTED);
    }),
    { numRuns: 50 },
  );
});

t.test('what is not HTTP is refused', async (t) => {
  const push = (text: string) => () => new HttpResponseReader().push(Buffer.from(text));
  t.throws(push('SSH-2.0\r\n\r\n'), /status line/);
  t.throws(push('HTTP/1.1 200 OK\r\n\r\n'), /without Content-Length/);
  t.throws(push('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n'), /without Content-Length/);
  t.throws(push('HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'), /not an HTTP header/);
  t.throws(push('a'.repeat(9000)), /no end of the HTTP head/);
});
