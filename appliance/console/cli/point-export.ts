// A restore point as a qcow2 file: by qemu-img, which reads it from the process's NBD export. The file has its name only when it is whole.
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { durationText, rateText, sizeText } from '../format.ts';
import type { CommandIo } from './local-socket.ts';
import { type PointExportAnswer, PointsRefusal } from './points-refusal.ts';
import { runProgram } from './programs.ts';

const TELL_EVERY_MS = 1_000;

export async function exportPoint({ socketPath, exportName, sizeBytes }: PointExportAnswer, file: string, io: CommandIo): Promise<void> {
  if (await stat(file).catch(() => null)) throw new PointsRefusal(`${file} is there already: choose another name, or remove it first`);
  const part = `${file}.part`;
  const startedMs = performance.now();
  let toldMs = startedMs;
  const onText = (text: string): void => {
    const share = progressOf(text);
    const nowMs = performance.now();
    if (share === null || share === 0 || nowMs - toldMs < TELL_EVERY_MS) return;
    toldMs = nowMs;
    const rate = (share * sizeBytes * 1000) / (nowMs - startedMs);
    const left = durationText(((1 - share) * sizeBytes * 1000) / rate);
    io.stdout.write(`${sizeText(share * sizeBytes)} of ${sizeText(sizeBytes)}, ${rateText(rate)}, ${left} left\n`);
  };
  try {
    // All of the guest's disk: only who made it may read it. What an earlier export left there goes.
    await rm(part, { force: true });
    await writeFile(part, '', { mode: 0o600, flag: 'wx' });
    // `-f raw`: what the guest wrote at its start must not be taken for an image's header, which may name files of this machine.
    await runProgram('qemu-img', ['convert', '-p', '-f', 'raw', '-O', 'qcow2', nbdUri(socketPath, exportName), part], 'qemu-utils', onText);
    await rename(part, file);
  } catch (e) {
    await rm(part, { force: true });
    throw new PointsRefusal(`${file} was not made: ${(e as Error).message}`);
  }
  const { size } = await stat(file);
  const took = durationText(performance.now() - startedMs);
  io.stdout.write(`${file}: ${sizeText(size)} for a disk of ${sizeText(sizeBytes)}, in ${took}\n`);
}

export function nbdUri(socketPath: string, exportName: string): string {
  return `nbd+unix:///${exportName}?socket=${encodeURIComponent(socketPath)}`;
}

/** Of qemu-img's `    (12.34/100%)\r`: 0..1, the latest; null: none. */
export function progressOf(text: string): number | null {
  const all = [...text.matchAll(/\(\s*([0-9.]+)\/100%\)/g)];
  const last = Number(all.at(-1)?.[1] ?? Number.NaN);
  return Number.isFinite(last) && last >= 0 && last <= 100 ? last / 100 : null;
}
