// Two ends of a link on a wire in memory that loses, damages, doubles and delays frames of the flood.
import t from 'tap';
import { type FrameSocket, type FrameSocketHandlers, packFrames, unpackFrames } from '../../../../drivers/ethernet/index.ts';
import { ETHER_TYPE_DATA } from '../../../../hwqual/burn-in/flood-codec.ts';
import { type LinkFigures, linkWork, type NicDoors } from '../../../../hwqual/burn-in/link-work.ts';
import { judgeLinks } from '../../../../hwqual/burn-in/links.ts';

t.setTimeout(60_000);

const NO_STATISTICS = {
  receivedFrames: 0,
  receivedBytes: 0,
  sentFrames: 0,
  sentBytes: 0,
  kernelDropped: 0,
  oversized: 0,
  truncated: 0,
  checksumsCompleted: 0,
  checksumsIncomplete: 0,
  sendDropped: 0,
};
const MAC = { A: '52:54:00:00:00:0a', B: '52:54:00:00:00:0b' } as const;
type Side = keyof typeof MAC;

class Wire {
  readonly #sockets: { side: Side; etherType: number; handlers: FrameSocketHandlers }[] = [];
  /** What becomes of a frame of A's flood. */
  spoil: (frame: Buffer, count: number) => Buffer[] = (frame) => [frame];
  #count = 0;
  /** All ends hear all frames, their own, too: a cable that leads back. */
  loop = false;

  doors(side: Side): NicDoors {
    return {
      exists: () => true,
      carrier: () => true,
      macAddress: () => MAC[side],
      mtuBytes: () => 1500,
      nowUs: () => performance.now() * 1000,
      open: ({ etherType }, handlers): FrameSocket => {
        const entry = { side, etherType, handlers };
        this.#sockets.push(entry);
        return {
          sendBatch: (batch) => this.#carry(side, batch),
          statistics: () => NO_STATISTICS,
          close: () => void this.#sockets.splice(this.#sockets.indexOf(entry), 1),
        };
      },
    };
  }

  #carry(from: Side, batch: Buffer): number {
    const { frames, usedBytes } = unpackFrames(batch);
    const etherType = frames[0]?.readUInt16BE(12);
    const flooded = etherType === ETHER_TYPE_DATA && from === 'A';
    const arrive = frames.flatMap((f) => (flooded ? this.spoil(Buffer.from(f), this.#count++) : [Buffer.from(f)]));
    setImmediate(() => {
      for (const s of this.#sockets)
        if (s.etherType === etherType && (this.loop || s.side !== from) && arrive.length > 0) s.handlers.onFrames(packFrames(arrive));
    });
    return usedBytes;
  }
}

const FRAMES = 2_000;

/** Until both have received enough of each other. */
async function flood(wire: Wire, change: { answersOnly?: boolean; keyOfB?: Buffer } = {}): Promise<{ A: LinkFigures; B: LinkFigures }> {
  const stop = new AbortController();
  const setup = { nic: 'burnin-none0', link: 0, key: Buffer.alloc(32, 1), answersOnly: false };
  const seen = { A: 0, B: change.answersOnly ? FRAMES : 0 };
  const tell = (figures: LinkFigures, side: Side): void => {
    seen[side] = Math.max(seen[side], figures.out.frames);
    if (seen.A >= FRAMES && seen.B >= FRAMES) stop.abort();
  };
  const end = (side: Side, own: object): Promise<LinkFigures> =>
    linkWork({ ...setup, coServer: side, ...own }, stop.signal, (f) => tell(f, side), wire.doors(side));
  const [A, B] = await Promise.all([end('A', {}), end('B', { answersOnly: change.answersOnly ?? false, key: change.keyOfB ?? setup.key })]);
  return { A, B };
}

t.test('a good wire: all that was sent came, and both know it', async (t) => {
  const { A, B } = await flood(new Wire());
  t.match(A, { heardPartner: true, partnerLink: 0, toldIsFinal: true, silentMs: null, restarts: 0, foreignFrames: 0 });
  for (const [one, other] of [
    [A, B],
    [B, A],
  ] as const) {
    t.ok(one.out.frames >= FRAMES);
    t.match(other.in, { frames: one.out.frames, lost: 0, damaged: 0, reordered: 0, duplicated: 0 });
    t.match(one.told, { frames: one.out.frames, lost: 0 });
  }
  t.equal(judgeLinks([A], true, 'A').verdict, 'pass');
});

t.test('who only answers tells what came, and floods nothing', async (t) => {
  const { A, B } = await flood(new Wire(), { answersOnly: true });
  t.match(A, { partnerAnswersOnly: true, toldIsFinal: true, told: { frames: A.out.frames, lost: 0 } });
  t.equal(B.out.frames, 0);
  t.equal(judgeLinks([A], true, 'A').verdict, 'pass');
});

t.test('frames lost, damaged, doubled, late: both ends say how many', async (t) => {
  const wire = new Wire();
  let late: Buffer | null = null;
  wire.spoil = (frame, n) => {
    if (n === 100 || n === 500) return [];
    if (n === 200) frame[700] = (frame[700] ?? 0) ^ 0x10;
    if (n === 300) return [frame, frame];
    if (n === 400) {
      late = frame;
      return [];
    }
    return n === 401 && late ? [frame, late] : [frame];
  };
  const { A, B } = await flood(wire);
  // The damaged one is missing, too.
  const expected = { lost: 3, damaged: 1, duplicated: 1, reordered: 1 };
  t.match(B.in, expected);
  t.match(A.told, expected);
  t.match(judgeLinks([B], true, 'B'), {
    verdict: 'fail',
    reason: /1 frames came damaged; .*3 of \d+ frames were lost.*1 frames came in another/,
  });
  t.match(judgeLinks([A], true, 'A'), { verdict: 'fail', reason: /1 frames arrived damaged at B/ });
});

t.test('the last frames are lost: nothing comes behind them that would show it', async (t) => {
  const wire = new Wire();
  wire.spoil = (frame, n) => (n < 1_000 ? [frame] : []);
  const { A, B } = await flood(wire);
  t.equal(B.in.frames, 1_000);
  t.equal(B.in.lost, A.out.frames - 1_000);
});

t.test('a cable that leads back', async (t) => {
  const wire = new Wire();
  wire.loop = true;
  const stop = new AbortController();
  const setup = { nic: 'burnin-none0', link: 3, key: Buffer.alloc(32, 1), answersOnly: false, coServer: 'A' } as const;
  const figures = await linkWork(setup, stop.signal, (f) => f.ownLink === 3 && stop.abort(), wire.doors('A'));
  t.match(judgeLinks([figures], true, 'A'), { verdict: 'fail', reason: /connected to link 3 of this very CoServer/ });
});
