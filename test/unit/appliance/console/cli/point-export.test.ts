// What `twinstep points export` asks of qemu-img: a stand-in on the path notes it.
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { exportPoint } from '../../../../../appliance/console/cli/point-export.ts';

t.test('the disk is raw, whatever the guest has written at its start', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'export-'));
  const before = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = before;
    rmSync(directory, { recursive: true });
  });
  const program = join(directory, 'qemu-img');
  // The last argument is the file to make.
  writeFileSync(program, `#!/bin/sh\necho "$@" > ${directory}/asked\nfor last; do :; done\necho image > "$last"\n`);
  chmodSync(program, 0o700);
  process.env.PATH = `${directory}:${before}`;
  const file = join(directory, 'x.qcow2');
  writeFileSync(`${file}.part`, 'left over', { mode: 0o644 });
  const quiet = { write: () => true };
  await exportPoint({ socketPath: '/s', exportName: 'point-x', sizeBytes: 1 }, file, { stdout: quiet, stderr: quiet });
  t.match(readFileSync(join(directory, 'asked'), 'utf8'), /^convert -p -f raw -O qcow2 nbd\+unix:/);
  t.equal(readFileSync(file, 'utf8'), 'image\n');
  t.equal(statSync(file).mode & 0o777, 0o600, "nobody else may read the guest's disk");
});
