// This server can no longer be trusted with its work (row 17): its engine and this process end at once, and the reason stays on the
// disk. Whoever keeps the process running may start it again: what it may do then its durable record says, as after any crash, and the
// partner has gone on meanwhile.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { putWhole } from '../../../drivers/files/index.ts';
import { endProcess } from '../end-process.ts';
import { log } from '../log.ts';
import type { Parts } from './parts.ts';

/** Of the process: a supervisor can tell it from a crash (70), a bad configuration (78) and a stop (0). */
export const UNTRUSTED_EXIT_CODE = 86;
/** A server with bad memory may hang in anything: the end comes all the same. */
const END_WITHIN_MS = 3_000;
const FILE = 'ended-itself.json';

export interface EndedItself {
  reason: string;
  generation: number;
}

/** Never resolves before the process ends. @param exit Replaced in tests. */
export async function endServer(
  p: Pick<Parts, 'engine' | 'config' | 'state'>,
  reason: string,
  exit: (code: number) => void = endProcess,
): Promise<string> {
  const timer = setTimeout(() => exit(UNTRUSTED_EXIT_CODE), END_WITHIN_MS);
  // The engine first: nothing it computes counts any more. Output was frozen before this was ordered.
  await p.engine.kill().catch((e: Error) => log('warning', `the engine was not ended: ${e.message}`));
  const ended: EndedItself = { reason, generation: p.state().record.generation };
  await putWhole(join(p.config.stateDir, FILE), `${JSON.stringify(ended)}\n`).catch((e: Error) =>
    log('warning', `the reason was not written: ${e.message}`),
  );
  log('fatal', `this server ends itself: ${reason}`);
  clearTimeout(timer);
  exit(UNTRUSTED_EXIT_CODE);
  return '';
}

/** Why the process before this one ended itself, told once; null: it did not. */
export async function takeEndedItself(stateDir: string): Promise<EndedItself | null> {
  const path = join(stateDir, FILE);
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  await rm(path, { force: true });
  try {
    const { reason, generation } = JSON.parse(text) as Partial<EndedItself>;
    if (typeof reason === 'string' && typeof generation === 'number') return { reason, generation };
  } catch {
    // Written by a server with bad memory.
  }
  return { reason: 'its words about it cannot be read', generation: 0 };
}
