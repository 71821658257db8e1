// busybox has a modprobe of its own, which its shell and its xargs take before the one in PATH, and which hands compressed modules to the kernel as they
// are ("Invalid ELF header magic"): drivers did not load. kmod's is called by its path.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { engineRootPath } from '../../../../image/engine/engine-root.ts';

const FOLDER = join(import.meta.dirname, '../../../../image/disk/overlay/usr/lib/twinstep');

t.test("init's modprobe is kmod's", async (t) => {
  const scripts = readdirSync(FOLDER).map((name) => readFileSync(join(FOLDER, name), 'utf8'));
  const lines = scripts.flatMap((text) => text.split('\n')).filter((line) => /modprobe/.test(line) && !line.startsWith('#'));
  t.ok(lines.length > 3, 'there are some');
  t.match(lines[0], /^modprobe=\/usr\/sbin\/modprobe$/);
  for (const line of lines.slice(1)) t.match(line, /(^|\s)\$modprobe -/, line);
  const busybox = join(engineRootPath(), 'usr/bin/busybox');
  t.match(execFileSync(busybox, ['--list'], { encoding: 'utf8' }), /^modprobe$/m, 'busybox still has one');
});
