import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { librariesOf, standIn, wantedSymbols } from '../../../../hwqual/lab/guest/fio-files.ts';

const NM = `                 U rbd_open
                 U glfs_init@GFAPI_3.4.0
                 U glfs_fsync@GFAPI_6.0
                 w __gmon_start__
0000000000123450 T main
`;

t.test('what a program wants of others', async (t) => {
  t.strictSame(wantedSymbols(NM), [
    { name: 'rbd_open', version: '' },
    { name: 'glfs_init', version: 'GFAPI_3.4.0' },
    { name: 'glfs_fsync', version: 'GFAPI_6.0' },
  ]);
});

t.test('a stand-in has the symbols with their versions', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stand-in-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { source, versions } = standIn(wantedSymbols(NM));
  const [c, map, library] = ['c.c', 'c.map', 'c.so'].map((name) => join(folder, name)) as [string, string, string];
  writeFileSync(c, source);
  writeFileSync(map, versions);
  execFileSync('gcc', ['-shared', '-fPIC', '-fno-builtin', `-Wl,--version-script=${map}`, '-o', library, c]);
  const symbols = execFileSync('nm', ['-D', '--defined-only', library], { encoding: 'utf8' });
  for (const symbol of [/ T rbd_open$/m, / T glfs_init@@GFAPI_3\.4\.0$/m, / T glfs_fsync@@GFAPI_6\.0$/m]) t.match(symbols, symbol);
});

t.test('where the libraries are', async (t) => {
  const ldd = `	linux-vdso.so.1 (0x00007ffd)
	libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)
	libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)
	libgone.so.1 => not found
`;
  t.strictSame(
    [...librariesOf(ldd)],
    [
      ['libz.so.1', '/lib/x86_64-linux-gnu/libz.so.1'],
      ['libm.so.6', '/lib/x86_64-linux-gnu/libm.so.6'],
    ],
  );
});
