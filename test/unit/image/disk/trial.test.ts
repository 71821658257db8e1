// What init asks of the EFI system partition: is the running version on trial, and is there another one to go back to?
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { bootName, parseBootName } from '../../../../appliance/update/boot-names.ts';
import { isOnTrial, runningFile } from '../../../../appliance/update/trust.ts';

const INIT = readFileSync(join(import.meta.dirname, '../../../../image/disk/overlay/usr/lib/twinstep/init'), 'utf8');

/** init's own function, with a folder in place of the partition. */
function asks(t: { teardown(f: () => void): void }, version: string, names: readonly string[]): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-trial-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'EFI/Linux'), { recursive: true });
  for (const name of names) writeFileSync(join(folder, 'EFI/Linux', name), '');
  const body = /^is_on_trial\(\) \{\n[\s\S]*?^\}\n/m.exec(INIT)?.[0].replaceAll('/run/esp', folder) ?? '';
  const script = `mount() { :; }\numount() { :; }\ngrep() { :; }\nversion=${version}\nboot_disk=x\n${body}\nis_on_trial && echo yes || echo no\n`;
  return execFileSync('sh', ['-c', script]).toString().trim() === 'yes';
}

t.test('the clock of the trial: what works and could not be marked is not started again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-clock-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const body = /^watch_trial\(\) \{\n[\s\S]*?^\}\n/m.exec(INIT)?.[0].replaceAll('/run/twinstep', folder) ?? '';
  const ends = (isOnTrial: boolean) => {
    const script = `sleep() { :; }\ntell() { :; }\nis_on_trial() { ${isOnTrial ? 'true' : 'false'}; }\nrestart_server() { echo restarts; }\n${body}\nwatch_trial\n`;
    return execFileSync('sh', ['-c', script]).toString().trim();
  };
  t.equal(ends(true), 'restarts');
  t.equal(ends(false), '');
  writeFileSync(join(folder, 'healthy'), '');
  t.equal(ends(true), '');
});

t.test('on trial with somewhere to go back to', async (t) => {
  const good = 'twinstep_1.0.0.efi';
  for (const [names, expected] of [
    [[good, 'twinstep_1.1.0+2-1.efi'], true],
    [[good, 'twinstep_1.1.0+0-3.efi'], true],
    [['twinstep_1.0.0+3.efi', 'twinstep_1.1.0+1-2.efi'], true],
    [[good, 'twinstep_1.1.0.efi'], false],
    // A wish for the next start is no trial.
    [[good, 'twinstep_1.1.0+0.efi'], false],
    [[good, 'twinstep_1.1.0+3.efi'], false],
    // Nowhere to go: starting again and again would help nobody.
    [['twinstep_1.1.0+2-1.efi'], false],
    [['twinstep_1.0.0+0-3.efi', 'twinstep_1.1.0+2-1.efi'], false],
    [['twinstep_1.0.0+0.efi', 'twinstep_1.1.0+2-1.efi'], false],
    [['twinstep_1.2.0.efi.new', 'twinstep_1.1.0+2-1.efi'], false],
    // One name begins with the other.
    [['twinstep_1.1.01.efi', 'twinstep_1.1.0+2-1.efi'], true],
    [[good, 'twinstep_1.1.00+2-1.efi'], false],
  ] as const) {
    t.equal(asks(t, '1.1.0', names), expected, names.join(' '));
    const files = names.flatMap((name) => parseBootName(name) ?? []);
    if (files.length === names.length && expected) t.ok(isOnTrial(runningFile(files, '1.1.0')), 'the product reads the names as init does');
  }
  t.equal(bootName({ version: '1.1.0', count: { left: 2, done: 1 }, staged: false }), 'twinstep_1.1.0+2-1.efi');
});
