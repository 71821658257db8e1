import t from 'tap';
import { LoginLimiter } from '../../../../../appliance/console/api/login-limiter.ts';
import { cookieValue, SESSION_MS, Sessions } from '../../../../../appliance/console/api/sessions.ts';

t.test('waits double per address and are forgotten', async (t) => {
  const l = new LoginLimiter();
  let now = 1_000_000;
  const waits: number[] = [];
  for (let i = 0; i < 16; i++) {
    const first = l.admit('192.0.2.1', now);
    if (!first.admitted) {
      waits.push(first.retryAfterS);
      now += first.retryAfterS * 1000;
      t.match(l.admit('192.0.2.1', now), { admitted: true });
    }
  }
  t.strictSame(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  t.match(l.admit('192.0.2.2', now), { admitted: true }, 'another address is another matter');
  now += 15 * 60_000;
  for (let i = 0; i < 5; i++) t.match(l.admit('192.0.2.1', now), { admitted: true });
  t.match(l.admit('192.0.2.1', now), { admitted: false });
  l.succeeded('192.0.2.1');
  t.match(l.admit('192.0.2.1', now), { admitted: true });
});

t.test('a /64 is one address; many addresses together have a limit', async (t) => {
  const l = new LoginLimiter();
  for (let i = 0; i < 5; i++) t.match(l.admit(`2001:db8:1:2::${i + 1}`, 0), { admitted: true });
  t.match(l.admit('2001:db8:1:2:ffff::9', 0), { admitted: false });
  t.match(l.admit('2001:db8:1:3::9', 0), { admitted: true });
  t.match(l.admit('::1', 0), { admitted: true });
  const many = new LoginLimiter();
  const admitted = Array.from({ length: 5000 }, (_, i) => many.admit(`10.0.${i >> 8}.${i & 255}`, 1000).admitted).filter(Boolean).length;
  t.ok(admitted <= 31, `${admitted} of 5000 at once`);
  t.match(many.admit('10.9.9.9', 4000), { admitted: true }, 'some time later');
});

t.test('sessions: random, expiring, bounded', async (t) => {
  let now = 0;
  const s = new Sessions(() => now);
  const first = s.open();
  t.match(first, /^[A-Za-z0-9_-]{43}$/);
  t.equal(s.isOpen(first), true);
  t.equal(s.isOpen(''), false);
  now = SESSION_MS;
  t.equal(s.isOpen(first), false);
  const tokens = Array.from({ length: 65 }, () => s.open());
  t.equal(new Set(tokens).size, 65);
  t.equal(tokens.filter((token) => s.isOpen(token)).length, 64, 'the oldest went');
  s.close(tokens[64] ?? '');
  t.equal(s.isOpen(tokens[64] ?? ''), false);
});

t.test('cookies', async (t) => {
  t.strictSame(
    [
      cookieValue('a=1; b=2=3 ; c', 'b'),
      cookieValue('xb=1', 'b'),
      cookieValue(undefined, 'b'),
      cookieValue('b=', 'b'),
      cookieValue('=; b', 'b'),
    ],
    ['2=3', '', '', '', ''],
  );
});
