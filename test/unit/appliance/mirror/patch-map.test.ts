import fc from 'fast-check';
import t from 'tap';
import { bytesOf, PatchMap } from '../../../../appliance/mirror/patch-map.ts';
import { LosableStore, Power } from './losable-store.ts';

// Many random lives, on a machine that may be busy.
t.setTimeout(120_000);

const SIZE = 300 * 1024;
const file = new LosableStore(
  new Power(Number.POSITIVE_INFINITY, () => 0),
  Buffer.from(Array.from({ length: SIZE }, (_, i) => (i * 31) % 251)),
);

const change = fc.record({
  start: fc.nat(SIZE - 1),
  length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 150_000 })),
  kind: fc.constantFrom('memory', 'file', 'zero'),
  byte: fc.nat(255),
  map: fc.nat(1),
});

t.test('against plain bytes: the newest wins, runs are sorted and whole, two maps absorb', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 40 }), fc.nat(SIZE - 1), async (changes, from) => {
      const maps = [new PatchMap(), new PatchMap()] as const;
      const bytes = [new Int16Array(SIZE).fill(-1), new Int16Array(SIZE).fill(-1)] as const;
      for (const c of changes) {
        const which = c.map === 0 ? 0 : 1;
        const end = Math.min(SIZE, c.start + c.length);
        const data = Buffer.alloc(end - c.start, c.byte);
        maps[which].insert(
          c.start,
          end,
          c.kind === 'memory'
            ? { kind: 'memory', data }
            : c.kind === 'file'
              ? { kind: 'file', file, at: c.start }
              : { kind: 'zero', release: c.byte % 2 === 0 },
        );
        for (let i = c.start; i < end; i++) bytes[which][i] = c.kind === 'memory' ? c.byte : c.kind === 'file' ? (i * 31) % 251 : 0;
      }
      const expected = bytes[0].map((v, i) => {
        const newer = bytes[1][i] ?? -1;
        return newer >= 0 ? newer : v;
      });
      maps[0].absorb(maps[1]);
      const found = new Int16Array(SIZE).fill(-1);
      let at = 0;
      let memory = 0;
      for (const run of maps[0].runs()) {
        if (run.start < at || run.end <= run.start) throw new Error('runs overlap');
        at = run.end;
        if (run.pieces.length === 0) found.fill(0, run.start, run.end);
        for (const p of maps[0].find(run.start, run.end))
          if ((p.source.kind === 'zero' && p.source.release) !== run.release) throw new Error('a run of both kinds of zeroes');
        let inside = run.start;
        for (const p of run.pieces) {
          if (p.start !== inside) throw new Error('a gap in a run');
          inside = p.end;
          const b = await bytesOf(p);
          if (b?.length !== p.end - p.start) throw new Error('a piece of a wrong length');
          if (p.source.kind === 'memory') memory += b.length;
          found.set(b, p.start);
        }
        if (run.pieces.length > 0 && inside !== run.end) throw new Error('a run that is not whole');
      }
      t.ok(Buffer.from(found.buffer).equals(Buffer.from(expected.buffer)));
      if (maps[0].bytes !== expected.filter((v) => v >= 0).length) throw new Error(`counts ${maps[0].bytes} bytes`);
      if (maps[0].memoryBytes !== memory) throw new Error(`counts ${maps[0].memoryBytes} bytes in memory, has ${memory}`);
      const end = Math.min(SIZE, from + 70_000);
      const window = new Int16Array(SIZE).fill(-1);
      for (const p of maps[0].find(from, end)) {
        if (p.start < from || p.end > end) throw new Error('found outside');
        window.set((await bytesOf(p)) ?? new Uint8Array(p.end - p.start), p.start);
      }
      for (let i = from; i < end; i++) if (window[i] !== expected[i]) throw new Error(`find: byte ${i}`);
    }),
    { numRuns: 150 },
  );
});

t.test('a small rest does not keep a large buffer alive', async (t) => {
  const map = new PatchMap();
  const data = Buffer.alloc(1024 * 1024, 1);
  map.insert(0, data.length, { kind: 'memory', data });
  map.insert(512, data.length, { kind: 'zero', release: false });
  const [rest] = map.find(0, 512);
  t.ok(rest?.source.kind === 'memory' && rest.source.data.buffer.byteLength <= 1024);
  t.equal(map.memoryBytes, 512);
});
