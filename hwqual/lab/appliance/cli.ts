// `npm run lab:appliance [-- OPTION...] [TALE...]`: boots the built image in a virtual machine with UEFI, as a server would, and
// says how long each step took. Each tale is one machine, from an empty disk to the screen that says what the appliance waits for.
import { mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unpackTools } from '../../../image/disk/base-root.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { type DiskContent, writeDisk } from '../../../image/disk/disk-image.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { LabError, messageOf } from '../lab-error.ts';
import { REPOSITORY } from '../prepare.ts';
import { type ApplianceMachine, startAppliance } from './machine.ts';
import { insidePairsRack, levelsTale, pairTale } from './pair.ts';
import { builtVersion, damaged, otherVersion, type Version } from './versions.ts';

/** A small disk: what the image leaves of it is the state partition. */
const DISK_BYTES = 4 * 2 ** 30;
/** Emulation on a busy machine: nothing is concluded from time. */
const PATIENCE_S = 900;
const WAITS = /First start: which server is this/;

interface Stage {
  built: Version;
  tools: string;
  options: Options;
  /** An empty folder. */
  work: string;
  /** A new machine's own folder, with a disk of this content. */
  disk(content: DiskContent): { disk: string; directory: string };
  /** Boots, lets `tale` watch, pulls the plug. */
  boot(
    where: { disk: string; directory: string },
    given: Record<string, string>,
    tale: (machine: ApplianceMachine) => Promise<void>,
  ): Promise<void>;
  say(line: string): void;
}

interface Options {
  image: string;
  /** Of the tales of two appliances. */
  instance?: string | undefined;
  port?: string | undefined;
  report: string;
}

const seconds = (s: number) => `${s.toFixed(1)} s`;

/** Each line of `steps`: a pattern that must come, in any order of time, and what it means. */
async function watch(stage: Stage, machine: ApplianceMachine, steps: readonly (readonly [RegExp, string])[]): Promise<void> {
  for (const [pattern, meaning] of steps) stage.say(`  ${seconds(await machine.until(pattern, PATIENCE_S))}  ${meaning}`);
}

function mustNot(machine: ApplianceMachine, pattern: RegExp): void {
  if (pattern.test(machine.serial())) throw new LabError(`the serial line says ${pattern}:\n${machine.serial().slice(-2000)}`);
}

const TALES: Record<string, (stage: Stage) => Promise<void>> = {
  first: async (stage) => {
    const { built, tools } = stage;
    const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
    stage.say('the first boot');
    await stage.boot(where, {}, async (machine) => {
      await watch(stage, machine, [
        [/is starting/, 'first line of ours'],
        [/slot a \(\w+\) is whole/, 'all of the root is read and its hashes are right'],
        [/first boot: making the state partition/, 'the state partition is made'],
        [WAITS, "the product's first screen"],
      ]);
      mustNot(machine, /cannot be|does not load/);
    });
    stage.say('the second boot of the same disk');
    await stage.boot(where, {}, async (machine) => {
      await watch(stage, machine, [[WAITS, "the product's first screen"]]);
      mustNot(machine, /first boot|cannot be/);
    });
  },
  damaged: async (stage) => {
    const { built, tools } = stage;
    stage.say('one bit of slot a is another one, slot b is whole');
    const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: damaged(built.slot), b: built.slot } });
    await stage.boot(where, {}, async (machine) => {
      await watch(stage, machine, [
        [/slot a \(\w+\) is refused/, 'slot a is refused'],
        [/slot b \(\w+\) is whole/, 'slot b is taken'],
        [WAITS, "the product's first screen"],
      ]);
      mustNot(machine, /slot a \(\w+\) is whole/);
    });
  },
  versions: async (stage) => {
    const { built, tools } = stage;
    const newer = otherVersion(built, '99.0.0', tools);
    stage.say('slot b has a newer version, with one bit another one; slot a has this version');
    const where = stage.disk({ files: espFiles(tools, [built, newer]), slots: { a: built.slot, b: damaged(newer.slot) } });
    await stage.boot(where, {}, async (machine) => {
      await watch(stage, machine, [
        [/version 99\.0\.0 is marked as bad/, 'the newer version is refused, and marked for the boot loader'],
        [new RegExp(`version ${built.version.replaceAll('.', '\\.')} is starting`), 'the boot loader has taken the older one'],
        [WAITS, "the product's first screen"],
      ]);
    });
  },
  wrong: async (stage) => {
    const { built, tools } = stage;
    stage.say('a configuration that is wrong');
    const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
    await stage.boot(where, { config: 'coServer: C\n' }, async (machine) => {
      await watch(stage, machine, [[/coServer[\s\S]*It goes on by itself/, 'the console names the key']]);
    });
  },
  pair: pairTale,
  levels: levelsTale,
};

/** Throws with the usage. */
function parse(args: string[]): { options: Options; names: string[] } {
  const usage = `usage: npm run lab:appliance -- [--image DIRECTORY] [--instance NAME] [--port N] [--report DIRECTORY] [${Object.keys(TALES).join('|')}]...`;
  const text = { type: 'string' } as const;
  const words = (() => {
    try {
      return parseArgs({ args, options: { image: text, instance: text, port: text, report: text }, allowPositionals: true });
    } catch (error) {
      throw new LabError(messageOf(error), usage);
    }
  })();
  const { values, positionals } = words;
  if (positionals.some((name) => !(name in TALES))) throw new LabError(usage);
  const { image = join(REPOSITORY, 'dist.image'), instance, port, report = join(image, 'lab') } = values;
  return { options: { image, instance, port, report }, names: positionals.length === 0 ? Object.keys(TALES) : positionals };
}

async function main(args: string[]): Promise<void> {
  const { options, names } = parse(args);
  if ((names.includes('pair') || names.includes('levels')) && !(await insidePairsRack(options))) return;
  const work = mkdtempSync(join(tmpdir(), 'twinstep-appliance-'));
  try {
    const tools = join(work, 'tools');
    await unpackTools(tools);
    const say = (line: string) => console.log(line);
    const stage = makeStage(builtVersion(options.image), tools, work, options, say);
    for (const [name, tale] of Object.entries(TALES)) if (names.includes(name)) await tale(stage);
    say('all as it should be');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function makeStage(built: Version, tools: string, work: string, options: Options, say: (line: string) => void): Stage {
  let machines = 0;
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
      writeDisk(disk, content);
      truncateSync(disk, DISK_BYTES);
      return { disk, directory };
    },
    boot: async (where, given, tale) => {
      const machine = startAppliance({ ...where, engineRoot: engineRootPath(), tools, given, log: process.env.TWINSTEP_SERIAL_LOG });
      try {
        await tale(machine);
      } finally {
        await machine.powerOff();
      }
    },
  };
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(messageOf(error));
  process.exitCode = 1;
});
