import fc from 'fast-check';
import t from 'tap';
import { RETURN_MS, type RollingOrder, type RollingSide, rollingOrder } from '../../../../appliance/update/rolling.ts';

const OLD = '1.0.0';
const NEW = '1.1.0';

interface Server extends RollingSide {
  isOn: boolean;
  /** Trials left of the version that it tries. */
  left: number;
}

/** Two servers and a guest: orders are obeyed, everything else happens at random. */
class Pair {
  readonly servers: [Server, Server];
  isDuplex = true;
  silentMs = 0;
  guestRestarts = 0;
  /** Servers on which the new version never becomes healthy. */
  readonly bad: readonly number[];
  readonly log: string[] = [];

  constructor(bad: readonly number[]) {
    const side = (role: 'primary' | 'secondary'): Server => ({
      version: OLD,
      onTrial: false,
      received: null,
      givenUp: null,
      role,
      isOn: true,
      left: 0,
    });
    this.servers = [side('primary'), side('secondary')];
    this.bad = bad;
  }

  order(i: number): RollingOrder {
    const [me, partner] = [this.servers[i === 0 ? 0 : 1], this.servers[i === 0 ? 1 : 0]];
    return rollingOrder({
      target: NEW,
      me,
      partner: partner.isOn ? partner : null,
      partnerSilentMs: partner.isOn ? 0 : this.silentMs,
      isDuplex: this.isDuplex,
      mayMove: this.isDuplex,
      mayRestartGuest: true,
      moveRestarts: false,
    });
  }

  obey(i: number): void {
    const me = this.servers[i === 0 ? 0 : 1];
    const other = this.servers[i === 0 ? 1 : 0];
    if (!me.isOn) return;
    const order = this.order(i);
    this.log.push(`${i}: ${order.kind} ${order.text}`);
    if (order.kind === 'moveWorkload') {
      if (!this.isDuplex || !other.isOn || other.onTrial) throw new Error(`moved to a server that cannot have it:\n${this.log.join('\n')}`);
      me.role = 'secondary';
      other.role = 'primary';
    } else if (order.kind === 'restartSelf') {
      if (me.role === 'primary' || !other.isOn || !this.isDuplex) throw new Error(`the guest was left alone:\n${this.log.join('\n')}`);
      me.isOn = false;
      me.received = null;
      me.left = 3;
      this.isDuplex = false;
    }
  }

  /** What time brings: the update arrives, a server comes up, is found healthy or not, the pair becomes duplex. */
  happen(i: number): void {
    const me = this.servers[i === 0 ? 0 : 1];
    if (!me.isOn) {
      me.isOn = true;
      me.role = 'secondary';
      if (me.left > 0) {
        me.version = NEW;
        me.onTrial = true;
        me.left -= 1;
      } else if (me.onTrial) {
        me.version = OLD;
        me.onTrial = false;
        me.givenUp = NEW;
      }
      return;
    }
    if (me.onTrial) {
      if (!this.bad.includes(i)) {
        me.onTrial = false;
        me.left = 0;
      } else {
        me.isOn = false;
        this.isDuplex = false;
      }
      return;
    }
    if (me.version === OLD && me.received === null && me.givenUp === null) me.received = NEW;
    else if (this.servers.every((s) => s.isOn)) this.isDuplex = true;
  }
}

t.test('whatever order things happen in, both run the new version in the end, and the guest was never left alone', async () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(3)), (choices) => {
      const pair = new Pair([]);
      for (let step = 0; step < 2_000; step++) {
        const choice = choices.next().value as number;
        if (choice < 2) pair.obey(choice);
        else pair.happen(choice - 2);
        if ([0, 1].every((i) => pair.order(i).kind === 'done')) {
          if (pair.servers.some((s) => s.version !== NEW)) throw new Error('done with an old version');
          return;
        }
        if ([0, 1].some((i) => pair.order(i).kind === 'stop')) throw new Error(`stopped:\n${pair.log.join('\n')}`);
      }
      throw new Error(`no end:\n${pair.log.slice(-20).join('\n')}`);
    }),
    { numRuns: 300 },
  );
});

t.test('a version that is bad on one server stops there: the guest stays on a server that works', async () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(3)), fc.constantFrom<number[]>([0], [1], [0, 1]), (choices, bad) => {
      const pair = new Pair(bad);
      for (let step = 0; step < 3_000; step++) {
        const choice = choices.next().value as number;
        if (choice < 2) pair.obey(choice);
        else pair.happen(choice - 2);
        const running = pair.servers.find((s) => s.role === 'primary');
        if (!running?.isOn || running.onTrial) throw new Error(`the guest is on a server on trial:\n${pair.log.join('\n')}`);
        if (pair.servers.every((s) => s.isOn) && [0, 1].every((i) => pair.order(i).kind === 'stop')) {
          // The secondary (1) goes first: bad there, the other one never left the old version.
          const expected = bad.includes(1) ? [OLD, OLD] : [OLD, NEW];
          if (pair.servers.map((s) => s.version).join() !== expected.join()) throw new Error(`${pair.servers.map((s) => s.version)}`);
          return;
        }
      }
      throw new Error(`no end:\n${pair.log.slice(-20).join('\n')}`);
    }),
    { numRuns: 300 },
  );
});

const side = (change: Partial<RollingSide> = {}): RollingSide => ({
  version: OLD,
  onTrial: false,
  received: NEW,
  givenUp: null,
  role: 'secondary',
  ...change,
});
const seen = (change: Partial<Parameters<typeof rollingOrder>[0]> = {}) =>
  rollingOrder({
    target: NEW,
    me: side(),
    partner: side({ role: 'primary' }),
    partnerSilentMs: 0,
    isDuplex: true,
    mayMove: true,
    mayRestartGuest: false,
    moveRestarts: false,
    ...change,
  });

t.test('each order, with the reason that the console shows', async (t) => {
  t.match(seen(), { kind: 'restartSelf', text: /starts again with 1\.1\.0; the workload goes on on the other one/ });
  t.match(seen({ isDuplex: false }), { kind: 'wait', text: /either server may fail/ });
  t.match(seen({ me: side({ received: null }) }), { kind: 'wait', text: /on its way to this CoServer/ });
  t.match(seen({ partner: side({ role: 'primary', received: null }) }), { kind: 'wait', text: /on its way to the other CoServer/ });
  t.match(seen({ me: side({ onTrial: true }) }), { kind: 'wait', text: /still being watched itself/ });
  const primary = { me: side({ role: 'primary' }), partner: side({ version: NEW, received: null }) };
  t.match(seen(primary), { kind: 'moveWorkload' });
  t.match(seen({ ...primary, partner: side({ version: NEW, onTrial: true }) }), { kind: 'wait', text: /being watched/ });
  t.match(seen({ ...primary, mayMove: false }), { kind: 'wait', text: /as soon as that is possible/ });
  t.match(seen({ ...primary, moveRestarts: true }), { kind: 'wait', text: /when you say so/ });
  t.match(seen({ ...primary, moveRestarts: true, mayRestartGuest: true }), { kind: 'moveWorkload' });
  t.match(seen({ partner: null, partnerSilentMs: RETURN_MS - 1 }), { kind: 'wait' });
  t.match(seen({ partner: null, partnerSilentMs: RETURN_MS }), { kind: 'stop', text: /not come back for 60 minutes/ });
  t.match(seen({ partner: side({ givenUp: NEW, role: 'primary' }) }), {
    kind: 'stop',
    text: /other CoServer, which is back on 1\.0\.0\. The update is over/,
  });
  t.match(seen({ me: side({ givenUp: NEW }), partner: side({ version: NEW, role: 'primary' }) }), {
    kind: 'stop',
    text: /two versions now.*rollback/,
  });
  t.match(seen({ me: side({ version: NEW }), partner: side({ version: '2.0.0' }) }), { kind: 'stop', text: /newer than/ });
  t.match(seen({ me: side({ version: NEW }), partner: side({ version: NEW, role: 'primary' }) }), { kind: 'done' });
});
