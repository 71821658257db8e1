// The guest's memory, written to a file by the engine while the guest stands still: what a debugger of the guest's system reads.
import { type QmpClient, QmpTimeoutError } from './qmp-client.ts';

/** Compressed, and as `crash` reads it; the second for streams, in pieces that `crash` puts in order. Any engine has `elf`. */
const FORMATS = ['kdump-raw-zlib', 'kdump-zlib', 'elf'] as const;
export type DumpFormat = (typeof FORMATS)[number];

export class DumpError extends Error {
  override name = 'DumpError';
}

/**
 * Answers when it is written, not yet flushed. `path` must exist: its mode is kept. Not during a migration, which the engine refuses.
 * Rejects after `timeoutMs`: the engine goes on writing then, and nothing but its end stops it.
 */
export async function dumpGuestMemory(client: QmpClient, path: string, timeoutMs: number): Promise<DumpFormat> {
  const answer = await client.execute('query-dump-guest-memory-capability');
  const known = typeof answer === 'object' && answer !== null && 'formats' in answer && Array.isArray(answer.formats) ? answer.formats : [];
  const format = FORMATS.find((f) => known.includes(f)) ?? 'elf';
  const completed = client.waitEvent('DUMP_COMPLETED', { timeoutMs });
  completed.catch(() => undefined);
  await client.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, detach: true, format });
  let error: unknown;
  try {
    error = (await completed).data['error'];
  } catch (e) {
    if (e instanceof QmpTimeoutError) throw new DumpError(`it was not written within ${Math.round(timeoutMs / 1000)} s`);
    throw e;
  }
  if (typeof error === 'string') throw new DumpError(error);
  return format;
}
