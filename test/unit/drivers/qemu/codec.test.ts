import fc from 'fast-check';
import t from 'tap';
import {
  decodeLine,
  encodeCommand,
  MAX_LINE_BYTES,
  QmpDecoder,
  type QmpMessage,
  QmpProtocolError,
} from '../../../../drivers/qemu/codec.ts';

t.test('real lines', async (t) => {
  t.same(
    decodeLine(
      '{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": "Debian 1:11.1.3+ds-1~bpo13+1"}, "capabilities": ["oob"]}}',
    ),
    { kind: 'greeting', version: { major: 11, minor: 1, micro: 3, package: 'Debian 1:11.1.3+ds-1~bpo13+1' }, capabilities: ['oob'] },
  );
  t.same(decodeLine('{"return": {"status": "running", "running": true}, "id": 7}'), {
    kind: 'answer',
    id: 7,
    value: { status: 'running', running: true },
  });
  t.same(decodeLine('{"timestamp": {"seconds": 1732148000, "microseconds": 250000}, "event": "STOP"}'), {
    kind: 'event',
    name: 'STOP',
    data: {},
    timestampMs: 1732148000250,
  });
  t.same(decodeLine('{"id": 3, "error": {"class": "GenericError", "desc": "no"}}'), {
    kind: 'failure',
    id: 3,
    errorClass: 'GenericError',
    description: 'no',
  });
});

t.test('commands', async (t) => {
  t.equal(encodeCommand('exec-oob', 'yank', { instances: [] }, 4), '{"exec-oob":"yank","arguments":{"instances":[]},"id":4}\n');
  t.equal(encodeCommand('execute', 'stop', undefined, 5), '{"execute":"stop","id":5}\n');
});

t.test('any cut of the bytes gives the same messages', async () => {
  const text = '{"return": {}, "id": 1}\r\n{"event": "STOP", "timestamp": {}}\r\n\r\n{"return": "h\u00e4", "id": 2}\r\n';
  const bytes = Buffer.from(text);
  const whole = new QmpDecoder().feed(bytes);
  t.equal(whole.length, 3);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const decoder = new QmpDecoder();
      const messages: QmpMessage[] = [];
      for (let i = 1; i < at.length; i++) messages.push(...decoder.feed(bytes.subarray(at[i - 1], at[i])));
      return JSON.stringify(messages) === JSON.stringify(whole);
    }),
  );
});

t.test('hostile bytes: a message or a QmpProtocolError, never anything else', async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
        fc.json().map((j) => Buffer.from(`${j}\n`)),
      ),
      (bytes) => {
        try {
          new QmpDecoder().feed(bytes);
          return true;
        } catch (error) {
          return error instanceof QmpProtocolError;
        }
      },
    ),
    { numRuns: 500 },
  );
});

t.test('a line without end is refused', async (t) => {
  const decoder = new QmpDecoder();
  const chunk = Buffer.alloc(1024 * 1024, 0x20);
  for (let i = 0; i < MAX_LINE_BYTES / chunk.length; i++) decoder.feed(chunk);
  t.throws(() => decoder.feed(chunk), QmpProtocolError);
});
