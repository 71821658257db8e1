// The installation medium, from an empty disk to the first screen of the installed appliance: by hand on the serial line, by itself, and a
// medium that is damaged.
import { copyFileSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { writeMedium } from '../../../image/installer/medium.ts';
import { type Stage, WAITS, watch } from './stage.ts';

const INTO_MEMORY = [/reading the installation medium \(\w+\): 100 %/, 'the medium is in memory'] as const;

export async function installTale(stage: Stage): Promise<void> {
  const { built, tools } = stage;
  const where = stage.disk(null);
  const iso = join(where.directory, 'medium.iso');
  writeMedium(iso, { version: built.version, tools, slot: built.slot, files: espFiles(tools, [built]) });
  stage.say('an empty disk, the medium as a CD-ROM, installed by hand on the serial line');
  await stage.boot(
    where,
    {},
    async (machine) => {
      await watch(stage, machine, [INTO_MEMORY, [/On which disk is Twinstep to be installed/, 'the installer asks']]);
      machine.type('\r');
      await watch(stage, machine, [[/last 4 characters of its serial number/, 'it wants to be sure']]);
      machine.type('stem\r');
      await watch(stage, machine, [[/read back, and found right/, 'written and read back']]);
      machine.forget();
      machine.type('\r');
      await watch(stage, machine, [
        [/slot a \(\w+\) is whole/, 'started again, from the disk'],
        [/first boot: making the state partition/, 'the state partition is made'],
        [WAITS, "the installed product's first screen"],
      ]);
    },
    { medium: { path: iso, as: 'cdrom' } },
  );

  stage.say('the same disk, the medium as a stick, installed by itself: its state stays');
  const install = 'disk system\nstate keep\nsure yes\nfinally off\n';
  await stage.boot(
    where,
    { install },
    async (machine) => {
      await watch(stage, machine, [INTO_MEMORY, [/read back, and found right/, 'written and read back']]);
      await machine.untilOff(600);
    },
    { medium: { path: iso, as: 'stick', first: true } },
  );
  await stage.boot(where, {}, async (machine) => {
    await watch(stage, machine, [[WAITS, "the installed product's first screen"]]);
    if (/first boot/.test(machine.serial())) throw new Error('the state partition was made anew');
  });

  stage.say('one bit of the medium is another one');
  const other = stage.disk(null);
  const bad = join(other.directory, 'bad.iso');
  copyFileSync(iso, bad);
  flipBit(bad, built.slot.length >> 1);
  await stage.boot(
    other,
    {},
    (machine) =>
      watch(stage, machine, [
        [/installation medium \(\w+\) is refused: its content is not version [\d.]+ as it was built/, 'it is refused'],
      ]),
    { medium: { path: bad, as: 'cdrom' } },
  );
}

function flipBit(path: string, at: number): void {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte.writeUInt8(byte.readUInt8() ^ 1);
  writeSync(fd, byte, 0, 1, at);
}
