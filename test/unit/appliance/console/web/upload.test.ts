// A file in parts: as large as the line is fast, cancelled, refused, and what is said when the last word is missing.
import t from 'tap';
import { type Answer, NO_ANSWER } from '../../../../../appliance/console/web/connection.ts';
import { nextPartBytes, rateMeter, type UploadProgress, upload } from '../../../../../appliance/console/web/upload.ts';

const MAX = 1 << 20;

/** A server that takes `bytesPerMs`; `at` answers for the part from there on, or undefined: accepted. */
function server(bytesPerMs: number, at: (offset: number, end: number) => Answer | undefined = () => undefined) {
  const asked: { path: string; bytes: number }[] = [];
  const got: Buffer[] = [];
  let now = 0;
  const ask = async (path: string, body: object | ArrayBuffer): Promise<Answer> => {
    asked.push({ path, bytes: body instanceof ArrayBuffer ? body.byteLength : 0 });
    if (path === '/api/update') return { accepted: true, detail: { upload: 'abc', partBytes: MAX } };
    if (!(body instanceof ArrayBuffer)) return { accepted: true };
    const offset = Number(path.split('/').at(-1));
    now += body.byteLength / bytesPerMs;
    const answer = at(offset, offset + body.byteLength);
    if (answer) return answer;
    got.push(Buffer.from(body));
    return { accepted: true, detail: { received: offset + body.byteLength } };
  };
  return { ask, asked, got: () => Buffer.concat(got), nowMs: () => now };
}

const FILE = Buffer.alloc(5_000_000, 'a file of some length, ');
const whole = (version: string) => (_: number, end: number) => (end === FILE.length ? { accepted: true, detail: { version } } : undefined);

function send(s: ReturnType<typeof server>, signal = new AbortController().signal, progress: UploadProgress[] = []) {
  return upload(new Blob([FILE]), { force: false, signal, onProgress: (p) => progress.push(p), ask: s.ask, nowMs: s.nowMs });
}

t.test('every byte once and in order, in parts that fit the line', async (t) => {
  const progress: UploadProgress[] = [];
  const s = server(1000, (_, end) => whole('1.2.0')(_, end));
  t.strictSame(await send(s, undefined, progress), { kind: 'installed', version: '1.2.0' });
  const sizes = s.asked.slice(1).map((a) => a.bytes);
  t.strictSame(sizes.slice(0, 4), [131_072, 262_144, 524_288, 1_000_000], 'a second of the line each');
  t.equal(
    sizes.reduce((sum, n) => sum + n, 0),
    FILE.length,
  );
  t.ok(s.got().equals(FILE.subarray(0, s.got().length)));
  t.equal(progress[0]?.sent, 0);
  const last = progress.at(-1);
  t.equal(Math.round(last?.bytesPerSecond ?? 0), 1_000_000);
  t.strictSame(
    progress.filter((p) => p.isLast).map((p) => p.sent + (sizes.at(-1) ?? 0)),
    [FILE.length],
    'only the last part is read back',
  );
});

t.test('parts: never above what the server takes, never so small that nothing moves', async (t) => {
  t.equal(nextPartBytes(MAX, 1, MAX), MAX);
  t.equal(nextPartBytes(1000, 0, MAX), 4096);
  t.equal(nextPartBytes(400_000, 3_000, MAX), 200_000);
  t.equal(nextPartBytes(400_000, 1_600, MAX), 250_000);
});

t.test('the rate is that of the latest seconds, and not said too early', async (t) => {
  const rate = rateMeter();
  t.equal(rate(0, 0), null);
  t.equal(rate(100, 100), null);
  t.equal(rate(1000, 1000), 1000);
  t.equal(Math.round(rate(1000, 9000) ?? 0), 111);
  t.equal(rate(1000, 15_000), 0, 'it stands still');
});

t.test('refused in the middle: said as the server says it, and whether force helps', async (t) => {
  const s = server(1000, (offset) => (offset > 0 ? { accepted: false, reason: 'Older.', canForce: true } : undefined));
  t.strictSame(await send(s), { kind: 'refused', reason: 'Older.', canForce: true });
  t.equal(
    s.asked.some((a) => a.path === '/api/update/cancel'),
    false,
    'the server knows',
  );
});

t.test('cancelled: the server is told, and a part that is under way is not waited for', async (t) => {
  const abort = new AbortController();
  const s = server(1000, () => {
    abort.abort();
    return { accepted: false, reason: NO_ANSWER };
  });
  t.strictSame(await send(s, abort.signal), { kind: 'cancelled' });
  t.equal(s.asked.at(-1)?.path, '/api/update/cancel');
  // Too late: all of it was there.
  const late = new AbortController();
  const t2 = server(1000, () => {
    late.abort();
    return { accepted: false, reason: NO_ANSWER };
  });
  const ask = async (path: string, body: object | ArrayBuffer) =>
    path === '/api/update/cancel' ? { accepted: false, reason: 'All of it is here.' } : t2.ask(path, body);
  t.strictSame(await send({ ...t2, ask }, late.signal), { kind: 'unsure', reason: 'All of it is here.' });
});

t.test('a line that breaks: nobody knows, and the server is set free', async (t) => {
  const s = server(1000, (offset) => (offset > 500_000 ? { accepted: false, reason: NO_ANSWER } : undefined));
  t.match(await send(s), { kind: 'unsure', reason: /line broke/ });
  t.equal(s.asked.at(-1)?.path, '/api/update/cancel');
});
