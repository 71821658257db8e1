import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { endServer, takeEndedItself, UNTRUSTED_EXIT_CODE } from '../../../../../appliance/runtime/effects/end-server.ts';
import type { Parts } from '../../../../../appliance/runtime/effects/parts.ts';
import { duplexState } from '../../core/duplex-state.ts';

function makeParts(t: { teardown(f: () => void): void }, kill: () => Promise<void>) {
  const stateDir = mkdtempSync(join(tmpdir(), 'ended-'));
  t.teardown(() => rmSync(stateDir, { recursive: true, force: true }));
  const parts = { config: { stateDir }, engine: { kill }, state: () => duplexState() };
  return { stateDir, parts: parts as unknown as Pick<Parts, 'engine' | 'config' | 'state'> };
}

t.test('engine, reason, end: in that order; the reason is told once, by the next process', async (t) => {
  const order: string[] = [];
  const { parts, stateDir } = makeParts(t, async () => void order.push('engine killed'));
  await endServer(parts, 'DIMM 3: uncorrected error.', (code) => {
    order.push(`exit ${code}`, ...readdirSync(stateDir));
  });
  t.same(order, ['engine killed', `exit ${UNTRUSTED_EXIT_CODE}`, 'ended-itself.json']);
  t.same(await takeEndedItself(stateDir), { reason: 'DIMM 3: uncorrected error.', generation: 1 });
  t.equal(await takeEndedItself(stateDir), null);
});

t.test('an engine that cannot be killed and a disk that takes nothing do not keep it from ending', async (t) => {
  const { parts, stateDir } = makeParts(t, () => Promise.reject(new Error('EIO')));
  rmSync(stateDir, { recursive: true });
  const codes: number[] = [];
  await endServer(parts, 'CPU 1', (code) => codes.push(code));
  t.same(codes, [UNTRUSTED_EXIT_CODE]);
});

t.test('words that a bad memory has written', async (t) => {
  const { stateDir } = makeParts(t, async () => undefined);
  writeFileSync(join(stateDir, 'ended-itself.json'), '{"reason": 7');
  t.match(await takeEndedItself(stateDir), { reason: /cannot be read/ });
});
