// The version of an encrypted state, in its header.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { headerVersion, noteHeaderVersion } from '../../../../appliance/update/header-version.ts';

t.test('read as cryptsetup 2.7.5 writes it, and written where it is another one', async (t) => {
  const header = Buffer.alloc(512);
  header.write('LUKS\xba\xbe\0\x02', 0, 'latin1');
  t.equal(headerVersion(header), null);
  const folder = t.testdir({ header, none: '' });
  writeFileSync(`${folder}/device`, `${folder}/header\n`);
  const told: string[][] = [];
  const run = async (args: readonly string[]) => void told.push([...args]);
  await noteHeaderVersion('1.2.3', `${folder}/nowhere`, run);
  await noteHeaderVersion('1.2.3', `${folder}/none`, run);
  await noteHeaderVersion('of mine', `${folder}/device`, run);
  t.strictSame(told, [], 'nothing is encrypted, or it is no version');
  await noteHeaderVersion('1.2.3', `${folder}/device`, run);
  t.strictSame(told, [['config', '--label', 'twinstep-state', '--subsystem', 'twinstep-version=1.2.3', `${folder}/header`]]);
  header.write('twinstep-version=1.2.3', 208, 'latin1');
  writeFileSync(`${folder}/header`, header);
  t.equal(headerVersion(header), '1.2.3');
  await noteHeaderVersion('1.2.3', `${folder}/device`, run);
  t.equal(told.length, 1, 'it says so already');
  await t.rejects(
    noteHeaderVersion('1.2.4', `${folder}/device`, async () => {
      throw new Error('Device is broken.');
    }),
    { message: 'Device is broken.' },
  );
  t.equal(headerVersion(header.subarray(0, 511)), null);
});
