// `npm run lab:appliance [-- OPTION...] [TALE...]`: boots the built image in a virtual machine with UEFI, as a server would, and
// says how long each step took. Each tale is one machine, from an empty disk to the screen that says what the appliance waits for.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unpackTools } from '../../../image/disk/base-root.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { LabError, messageOf } from '../lab-error.ts';
import { REPOSITORY } from '../prepare.ts';
import { browserTale } from './browser-tale.ts';
import { answersTale, serialTale } from './first-start-tales.ts';
import { installTale } from './install-tale.ts';
import { loaderTale } from './loader-tale.ts';
import { mistakesTale } from './mistakes-tale.ts';
import { enginesTale, insidePairsRack, levelsTale, pairTale, rollingTale } from './pair.ts';
import { secureBootTale } from './secure-boot-tale.ts';
import { makeStage, mustNot, type StageOptions, type Tale, WAITS, watch } from './stage.ts';
import { tpmSecureBootTale } from './tpm-secure-boot-tale.ts';
import { tpmTale } from './tpm-tale.ts';
import { updateTale } from './update-tale.ts';
import { builtVersion, damaged, otherVersion } from './versions.ts';

const TALES: Record<string, Tale> = {
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
  answers: answersTale,
  serial: serialTale,
  browser: browserTale,
  install: installTale,
  'secure-boot': secureBootTale,
  loader: loaderTale,
  tpm: tpmTale,
  'tpm-secure-boot': tpmSecureBootTale,
  mistakes: mistakesTale,
  update: updateTale,
  pair: pairTale,
  levels: levelsTale,
  rolling: rollingTale,
  engines: enginesTale,
};
/** In the namespace of the two appliances' rack. */
const IN_RACK = ['pair', 'levels', 'rolling', 'engines'];
/** They sign updates. */
const WITH_KEY = ['update', 'rolling', 'engines'];

const USAGE = `usage: npm run lab:appliance -- [--image DIRECTORY] [--key FILE] [--kills N] [--seed N] [--instance NAME] [--port N] [--report DIRECTORY] [${Object.keys(TALES).join('|')}]...`;

/** Throws with the usage. */
function parse(args: string[]): { options: StageOptions; names: string[] } {
  const text = { type: 'string' } as const;
  const words = (() => {
    try {
      return parseArgs({
        args,
        options: { image: text, instance: text, port: text, report: text, key: text, kills: text, seed: text },
        allowPositionals: true,
      });
    } catch (error) {
      throw new LabError(messageOf(error), USAGE);
    }
  })();
  const { values, positionals } = words;
  const unknown = positionals.find((name) => !(name in TALES));
  if (unknown !== undefined) throw new LabError(`there is no tale ${unknown}`, USAGE);
  const { image = join(REPOSITORY, 'dist.image'), instance, port, report = join(image, 'lab'), key, kills = '0', seed = '1' } = values;
  if (![kills, seed].every((number) => /^\d{1,9}$/.test(number))) throw new LabError('--kills and --seed are whole numbers', USAGE);
  const signs = positionals.find((name) => WITH_KEY.includes(name));
  if (signs !== undefined && key === undefined)
    throw new LabError(`the tale ${signs} needs --key FILE: the private key whose public one the image was built with`, USAGE);
  // Without the key all others are all there is.
  const all = Object.keys(TALES).filter((name) => !WITH_KEY.includes(name) || key !== undefined);
  return {
    options: { image, instance, port, report, key, kills: Number(kills), seed: Number(seed) },
    names: positionals.length === 0 ? all : positionals,
  };
}

async function main(args: string[]): Promise<void> {
  const { options, names } = parse(args);
  if (names.some((name) => IN_RACK.includes(name)) && !(await insidePairsRack(options))) return;
  const work = mkdtempSync(join(tmpdir(), 'twinstep-appliance-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      rmSync(work, { recursive: true, force: true });
      process.exit(130);
    });
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

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(messageOf(error));
  process.exitCode = 1;
});
