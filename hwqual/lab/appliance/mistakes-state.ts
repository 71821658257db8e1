// Mistakes with what a server keeps: a disk that was copied after its first start, and a state partition without a byte left.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { SECTOR_BYTES } from '../../../image/disk/gpt.ts';
import { diskLayout } from '../../../image/disk/layout.ts';
import { run } from '../command.ts';
import { LabError } from '../lab-error.ts';
import { PATIENCE_S } from './first-start.ts';
import type { ApplianceMachine, Port } from './machine.ts';
import type { PairReport } from './pair-report.ts';
import type { Stage, Where } from './stage.ts';

const STATE_BYTE = (diskLayout().slots.b.firstSector + diskLayout().slots.b.sectors) * SECTOR_BYTES;
const CONSOLE_OF_A = /TWINSTEP CoServer A /;
const FILLER = 'disks/left-behind';
/** What a server is, and must not lose. */
const KEPT = ['config.yaml', 'nics', 'state/pair.key'];

/** Looks at a machine, says how long it took, and keeps what somebody saw. */
export async function seen(report: PairReport, machine: ApplianceMachine, pattern: RegExp, meaning: string, file?: string): Promise<void> {
  report.figure(meaning, await machine.untilScreen(pattern, PATIENCE_S));
  if (file === undefined) return;
  await machine.untilDrawn();
  report.screen(file, meaning, machine.screen());
}

/** `ports`: of the server at that end of the cables, with its own MAC addresses or with A's. */
export async function copiedTale(
  stage: Stage,
  report: PairReport,
  a: Where,
  ports: (end: 'A' | 'B', macs: 'A' | 'B') => Port[],
): Promise<void> {
  const copy = async (): Promise<Where> => {
    const where = stage.disk(null);
    await run('cp', ['--sparse=always', a.disk, where.disk]);
    return where;
  };
  report.begin("the disk of A, copied after its first start, in B's place");
  await stage.boot(
    await copy(),
    {},
    (machine) =>
      seen(report, machine, /None of the network ports.*is in this server.*52:54:00:77:0a:01.*copy of it/, 'the copy: named', 'copied'),
    { ports: ports('B', 'B') },
  );

  report.begin('the same, with all MAC addresses of A: a copied virtual server');
  await stage.boot(
    a,
    {},
    async (A) =>
      stage.boot(
        await copy(),
        {},
        async (B) => {
          for (const [name, machine] of Object.entries({ A, copy: B })) {
            await seen(report, machine, CONSOLE_OF_A, `${name}: the console of the pair`);
            await seen(report, machine, /Another server has the identity of this one/, `${name}: named`, `same-identity-${name}`);
            if (/DUPLEX|SIMPLEX|Workload +\S+ running/.test(machine.screen().join('\n')))
              throw new LabError(`${name} runs the workload:\n${machine.screen().join('\n')}`);
          }
        },
        { ports: ports('B', 'A') },
      ),
    { ports: ports('A', 'A') },
  );
}

/** A alone, its disk filled between two starts: what it makes anew while it starts takes what init has made room for. */
export async function fullTale(stage: Stage, report: PairReport, a: Where, ports: Port[]): Promise<void> {
  const before = await onState(a, (folder) => {
    fill(folder);
    return kept(folder);
  });
  for (const [start, file] of [
    ['the state partition has no byte left', 'full'],
    ['started again, by the plug', 'full-again'],
  ] as const) {
    report.begin(start);
    await stage.boot(
      a,
      {},
      async (machine) => {
        report.figure('init names it', await machine.until(/the state partition \(\S+\) is full: \d+ KiB are left/, PATIENCE_S));
        await seen(report, machine, CONSOLE_OF_A, 'the console of the pair');
        machine.type('8');
        await seen(report, machine, /the state partition is full, or nearly.*Remove restore points/, 'the console names it', file);
      },
      { ports },
    );
  }
  const after = await onState(a, (folder) => {
    report.note(`${statfsSync(folder).bavail} blocks were free at the end`);
    rmSync(join(folder, FILLER));
    return kept(folder);
  });
  if (after !== before) throw new LabError('the configuration, the ports or the key of the pair is not what it was');
  report.note('configuration, ports and key of the pair are what they were, to the byte');
}

async function onState<T>({ disk, directory }: Where, work: (folder: string) => T): Promise<T> {
  const folder = join(directory, 'state');
  mkdirSync(folder);
  await run('mount', ['-o', `loop,offset=${STATE_BYTE}`, disk, folder]);
  try {
    return work(folder);
  } finally {
    await run('umount', [folder]);
    rmdirSync(folder);
  }
}

/** To the last block; nothing of it is kept on the lab's own disk twice: what is filled are zeros. */
function fill(folder: string): void {
  const fd = openSync(join(folder, FILLER), 'w');
  try {
    for (let bytes = 1 << 20; bytes >= 512; bytes = bytes > 4096 ? 4096 : bytes / 8) {
      const piece = Buffer.alloc(bytes);
      for (;;)
        try {
          if (writeSync(fd, piece) < bytes) break;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOSPC') break;
          throw error;
        }
    }
  } finally {
    closeSync(fd);
  }
}

function kept(folder: string): string {
  const hash = createHash('sha256');
  for (const path of KEPT) {
    if (!existsSync(join(folder, path))) throw new LabError(`there is no ${path} on the state partition`);
    hash.update(readFileSync(join(folder, path)));
  }
  return hash.digest('hex');
}
