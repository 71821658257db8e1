// `npm run lab:appliance [-- --image DIRECTORY] [TALE...]`: boots the built image in a virtual machine with UEFI, as a server would, and
// says how long each step took. Each tale is one machine, from an empty disk to the screen that says what the appliance waits for.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { unpackTools } from '../../../image/disk/base-root.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { type DiskContent, writeDisk } from '../../../image/disk/disk-image.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { LabError, messageOf } from '../lab-error.ts';
import { REPOSITORY } from '../prepare.ts';
import { answersFor, byHand, FIRST_PAGE, makeStick, portsOf, unattended } from './first-start.ts';
import { type ApplianceMachine, type Port, startAppliance } from './machine.ts';
import { builtVersion, damaged, otherVersion, type Version } from './versions.ts';

/** A small disk: what the image leaves of it is the state partition. */
const DISK_BYTES = 4 * 2 ** 30;
/** Emulation on a busy machine: nothing is concluded from time. */
const PATIENCE_S = 900;
const WAITS = FIRST_PAGE;

interface Stage {
  built: Version;
  tools: string;
  /** A new machine's own folder, with a disk of this content. */
  disk(content: DiskContent): { disk: string; directory: string };
  /** Boots, lets `tale` watch, pulls the plug. */
  boot(
    where: { disk: string; directory: string },
    given: Record<string, string>,
    tale: (machine: ApplianceMachine) => Promise<void>,
    more?: { ports?: readonly Port[]; stick?: string },
  ): Promise<void>;
  say(line: string): void;
}

const seconds = (s: number) => `${s.toFixed(1)} s`;

/** Each line of `steps`: a pattern that must come, in any order of time, and what it means. */
async function watch(stage: Stage, machine: ApplianceMachine, steps: readonly (readonly [RegExp, string])[]): Promise<void> {
  for (const [pattern, meaning] of steps) stage.say(`  ${seconds(await machine.until(pattern, PATIENCE_S))}  ${meaning}`);
}

function mustNot(machine: ApplianceMachine, pattern: RegExp): void {
  if (pattern.test(machine.serial())) throw new LabError(`the serial line says ${pattern}:\n${machine.serial().slice(-2000)}`);
}

/** Two machines with cables between them, from an empty disk on; both until both are through. */
async function bootTwo(
  stage: Stage,
  given: (name: CoServerName, folder: string) => { files?: Record<string, string>; stick?: string },
  tale: (machines: Readonly<Record<CoServerName, ApplianceMachine>>) => Promise<void>,
): Promise<void> {
  const { built, tools } = stage;
  const content = { files: espFiles(tools, [built]), slots: { a: built.slot } };
  const [a, b] = [stage.disk(content), stage.disk(content)];
  const boot = (name: CoServerName, then: (machine: ApplianceMachine) => Promise<void>): Promise<void> => {
    const [own, other] = name === 'A' ? [a, b] : [b, a];
    const { files = {}, ...stick } = given(name, own.directory);
    return stage.boot(own, files, then, { ports: portsOf(name, own.directory, other.directory), ...stick });
  };
  await boot('A', (A) => boot('B', (B) => tale({ A, B })));
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
  pair: async (stage) => {
    stage.say('two servers with answers, A by its host and B on a USB stick, from power-on to a pair');
    const secret = randomBytes(16).toString('hex');
    await bootTwo(
      stage,
      (name, folder) => {
        const answers = answersFor(name, secret);
        return name === 'A' ? { files: { answers } } : { stick: makeStick(folder, answers) };
      },
      async ({ A, B }) => void (await Promise.all([unattended('A', A, stage.say), unattended('B', B, stage.say)])),
    );
  },
  serial: async (stage) => {
    stage.say('two servers, and somebody at both serial lines');
    await bootTwo(
      stage,
      () => ({}),
      (machines) => byHand(machines, stage.say),
    );
  },
  wrong: async (stage) => {
    const { built, tools } = stage;
    stage.say('a configuration that is wrong');
    const where = stage.disk({ files: espFiles(tools, [built]), slots: { a: built.slot } });
    await stage.boot(where, { config: 'coServer: C\n' }, async (machine) => {
      await watch(stage, machine, [[/coServer[\s\S]*It goes on by itself/, 'the console names the key']]);
    });
  },
};

async function main(args: readonly string[]): Promise<void> {
  const imageAt = args.indexOf('--image');
  const folder = imageAt >= 0 ? args[imageAt + 1] : join(REPOSITORY, 'dist.image');
  const names = args.filter((_, i) => imageAt < 0 || (i !== imageAt && i !== imageAt + 1));
  const unknown = names.find((name) => !(name in TALES));
  if (folder === undefined || unknown !== undefined)
    throw new LabError(`usage: npm run lab:appliance -- [--image DIRECTORY] [${Object.keys(TALES).join('|')}]...`);
  const work = mkdtempSync(join(tmpdir(), 'twinstep-appliance-'));
  try {
    const tools = join(work, 'tools');
    await unpackTools(tools);
    const say = (line: string) => console.log(line);
    const stage = makeStage(builtVersion(folder), tools, work, say);
    for (const [name, tale] of Object.entries(TALES)) if (names.length === 0 || names.includes(name)) await tale(stage);
    say('all as it should be');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function makeStage(built: Version, tools: string, work: string, say: (line: string) => void): Stage {
  let machines = 0;
  let machinesBooted = 0;
  return {
    built,
    tools,
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
    boot: async (where, given, tale, more = {}) => {
      machinesBooted += 1;
      const log =
        process.env.TWINSTEP_SERIAL_LOG && `${process.env.TWINSTEP_SERIAL_LOG}${machinesBooted === 1 ? '' : `.${machinesBooted}`}`;
      const machine = startAppliance({ ...where, engineRoot: engineRootPath(), tools, given, ...more, log });
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
