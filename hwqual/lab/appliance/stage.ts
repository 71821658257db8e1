// What every tale of the appliance has: what was built, machines to boot it in, and words for what is seen.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DiskContent, writeDisk } from '../../../image/disk/disk-image.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { LabError } from '../lab-error.ts';
import { FIRST_PAGE } from './first-start.ts';
import { type ApplianceMachine, type MachineExtras, startAppliance } from './machine.ts';
import type { Version } from './versions.ts';

/** A small disk: what the image leaves of it is the state partition. */
const DISK_BYTES = 4 * 2 ** 30;
/** Emulation on a busy machine: nothing is concluded from time. */
const PATIENCE_S = 1800;
export const WAITS = FIRST_PAGE;

export interface Where {
  disk: string;
  directory: string;
}

export interface StageOptions {
  /** The folder with what `npm run image` made. */
  image: string;
  /** Of the tale of two appliances. */
  instance?: string | undefined;
  port?: string | undefined;
  report: string;
  /** Of updates: the private key whose public one is in the image, power failures, and what chooses their moments. */
  key?: string | undefined;
  kills: number;
  seed: number;
}

export interface Stage {
  built: Version;
  tools: string;
  options: StageOptions;
  /** An empty folder. */
  work: string;
  /** A new machine's own folder, with a disk of this content; null: an empty one. */
  disk(content: DiskContent | null): Where;
  /** Boots, lets `tale` watch, pulls the plug. */
  boot(
    where: Where,
    given: Record<string, string>,
    tale: (machine: ApplianceMachine) => Promise<void>,
    extras?: MachineExtras,
  ): Promise<void>;
  say(line: string): void;
}

export type Tale = (stage: Stage) => Promise<void>;

const seconds = (s: number) => `${s.toFixed(1)} s`;

/** Each line of `steps`: a pattern that must come, in any order of time, and what it means. */
export async function watch(stage: Stage, machine: ApplianceMachine, steps: readonly (readonly [RegExp, string])[]): Promise<void> {
  for (const [pattern, meaning] of steps) stage.say(`  ${seconds(await machine.until(pattern, PATIENCE_S))}  ${meaning}`);
}

export function mustNot(machine: ApplianceMachine, pattern: RegExp): void {
  if (pattern.test(machine.serial())) throw new LabError(`the serial line says ${pattern}:\n${machine.serial().slice(-2000)}`);
}

export function makeStage(built: Version, tools: string, work: string, options: StageOptions, say: (line: string) => void): Stage {
  let machines = 0;
  let machinesBooted = 0;
  return {
    built,
    tools,
    options,
    work,
    say,
    disk: (content) => {
      machines += 1;
      const directory = join(work, `machine-${machines}`);
      mkdirSync(directory);
      const disk = join(directory, 'disk.img');
      if (content === null) writeFileSync(disk, '');
      else writeDisk(disk, content);
      truncateSync(disk, DISK_BYTES);
      return { disk, directory };
    },
    boot: async (where, given, tale, extras = {}) => {
      machinesBooted += 1;
      const log =
        process.env.TWINSTEP_SERIAL_LOG && `${process.env.TWINSTEP_SERIAL_LOG}${machinesBooted === 1 ? '' : `.${machinesBooted}`}`;
      const machine = startAppliance({ ...where, ...extras, engineRoot: engineRootPath(), tools, given, log });
      try {
        await tale(machine);
      } finally {
        await machine.powerOff();
      }
    },
  };
}
