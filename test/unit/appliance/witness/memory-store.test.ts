// The witness's log: durable, together, written anew when full; torn, damaged, on a full disk.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { WitnessMemory } from '../../../../appliance/core/witness.ts';
import { decodeMemory, encodeMemory, MemoryStore } from '../../../../appliance/witness/memory-store.ts';
import { startWitness } from '../../../../appliance/witness/server.ts';
import { enrol, newPair, stateFolder, Voice } from './bench-pair.ts';

const SLOT = 64;
const pairId = (n: number) => n.toString(16).padStart(32, '0');
const memory = (generation: number, owner: WitnessMemory['owner'] = 'A'): WitnessMemory => ({ generation, owner, counter: generation });

t.test('a slot holds what was put in, and a changed one nothing', async (t) => {
  const whole = fc.record({
    pairId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString('hex')),
    memory: fc.record({
      generation: fc.maxSafeNat(),
      owner: fc.constantFrom<WitnessMemory['owner']>(null, 'A', 'B'),
      counter: fc.maxSafeNat(),
    }),
  });
  fc.assert(fc.property(whole, (w) => t.same(decodeMemory(encodeMemory(w.pairId, w.memory)), w) && true));
  fc.assert(
    fc.property(whole, fc.nat(43), fc.integer({ min: 1, max: 255 }), (w, at, flip) => {
      const slot = encodeMemory(w.pairId, w.memory);
      slot[at] = (slot[at] ?? 0) ^ flip;
      return decodeMemory(slot) === null;
    }),
  );
});

t.test('what was put is there again, also after the log was written anew', async (t) => {
  const directory = stateFolder(t);
  let store = await MemoryStore.open(directory);
  // More than a log has slots, many at once.
  for (let round = 1; round <= 50; round++)
    await Promise.all(Array.from({ length: 100 }, (_, n) => store.put(pairId(n), memory(round, n % 2 ? 'B' : null))));
  await store.close();
  store = await MemoryStore.open(directory);
  for (const n of [0, 1, 99]) t.same(store.get(pairId(n)), memory(50, n % 2 ? 'B' : null));
  t.equal(store.get(pairId(100)), null);
  t.equal(store.damage, '');
  await store.close();
});

t.test('a torn end loses nothing that was said', async (t) => {
  const directory = stateFolder(t);
  let store = await MemoryStore.open(directory);
  await store.put(pairId(1), memory(5));
  await store.close();
  const log = readFileSync(join(directory, 'memory.log'));
  encodeMemory(pairId(1), memory(6, 'B'))
    .subarray(0, 30)
    .copy(log, 2 * SLOT);
  writeFileSync(join(directory, 'memory.log'), log);
  store = await MemoryStore.open(directory);
  t.same(store.get(pairId(1)), memory(5));
  t.match(store.damage, /1 of its slots are torn or damaged/);
  t.ok(existsSync(join(directory, 'memory.damaged')), 'kept for whoever wants to look');
  await store.put(pairId(1), memory(7));
  await store.close();
  store = await MemoryStore.open(directory);
  t.same(store.get(pairId(1)), memory(7));
  t.equal(store.damage, '', 'written anew, whole');
  await store.close();
});

t.test('a damaged log is named, and never a fresh start', async (t) => {
  const damages: [string, (path: string) => void, RegExp][] = [
    [
      'its head',
      (path) => writeFileSync(path, Buffer.concat([Buffer.alloc(64, 7), readFileSync(path).subarray(64)])),
      /first slot is not whole/,
    ],
    ['its middle', (path) => writeFileSync(path, readFileSync(path).fill(1, SLOT, 2 * SLOT)), /torn or damaged/],
    ['its end', (path) => truncateSync(path, 3 * SLOT), /too short/],
    ['all of it', (path) => writeFileSync(path, ''), /first slot is not whole/],
  ];
  for (const [name, damage, told] of damages) {
    const stateDir = stateFolder(t);
    const pair = newPair();
    enrol(stateDir, pair);
    const store = await MemoryStore.open(stateDir);
    await store.put(pair.pairId, memory(4));
    await store.close();
    damage(join(stateDir, 'memory.log'));
    const lines: string[] = [];
    const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: (_severity, line) => lines.push(line) });
    t.match(lines[0], told, name);
    const a = new Voice(witness.port, pair, 'A');
    await a.reachable();
    t.match(await a.client.claim(4), { kind: 'unconfirmed', reason: /memory was damaged/ }, name);
    t.equal((await a.client.claim(0)).kind, 'unconfirmed', 'nor the first generation');
    a.client.close();
    await witness.close();
  }
});

t.test('a log of a newer format is not touched', async (t) => {
  const directory = stateFolder(t);
  await (await MemoryStore.open(directory)).close();
  const path = join(directory, 'memory.log');
  const log = readFileSync(path);
  log[4] = 2;
  const { crc32 } = await import('node:zlib');
  log.writeUInt32BE(crc32(log.subarray(0, 40)), 40);
  writeFileSync(path, log);
  await t.rejects(MemoryStore.open(directory), /has format 2, this version writes 1: start the version that wrote it/);
  t.same(readFileSync(path), log);
});

t.test('a full disk grants nothing, and says so', async (t) => {
  const root = stateFolder(t);
  const stateDir = join(root, 'small');
  mkdirSync(stateDir);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'twinstep-test', stateDir]);
  t.teardown(() => execFileSync('umount', [stateDir]));
  const pair = newPair();
  enrol(stateDir, pair);
  const lines: string[] = [];
  const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: (_severity, line) => lines.push(line) });
  const a = new Voice(witness.port, pair, 'A', { generation: 1, state: 'simplex' });
  await a.confirmed();
  t.throws(() => writeFileSync(join(stateDir, 'filler'), Buffer.alloc(1 << 20)), /ENOSPC/);
  // The log has its space; when it is full it must be written anew.
  let refused = '';
  for (let generation = 1; generation < 10_000 && !refused; generation++)
    await a.client.claim(generation).then(
      (answer) => answer.kind !== 'granted' && t.fail(`${generation}: ${answer.kind}`),
      (e: Error) => {
        refused = `${generation}: ${e.message}`;
      },
    );
  t.match(refused, /cannot write its memory: .*no space left/i, refused);
  t.ok(lines.some((l) => /nothing can be granted, the memory cannot be written/.test(l)));
  execFileSync('rm', [join(stateDir, 'filler')]);
  t.equal((await a.client.claim(Number(refused.split(':')[0]))).kind, 'granted', 'with space again it goes on');
  a.client.close();
  await witness.close();
});
