// Profiles: the ones that are there are sound, wrong ones are named, and an emulated pair passes by its profile alone.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { compare, type Facts } from '../../../../hwqual/checks/index.ts';
import { PROFILES, type Profile, ProfileError, parseProfile, profileOf } from '../../../../hwqual/profiles/index.ts';
import { compareByProfile } from '../../../../hwqual/qualify/qualifier.ts';
import { wholeFacts } from '../checks/facts-fixture.ts';

const whole = await wholeFacts();
/** What can be compared, with `*` for a port's role. */
const items = [
  ...new Set(
    compare(whole, { ...whole, coServer: 'B' }, 'identical').items.flatMap(({ id }) => [id, id.replace(/^nics\.\w+\./, 'nics.*.')]),
  ),
];

const GOOD = {
  id: 'good-one',
  title: 'A good one',
  match: [{ systemVendor: 'Twintest Inc.', systemProduct: 'TwinServer 2' }],
  waive: [{ item: 'cpu.microcode', reason: 'it cannot be told there' }],
  notes: 'for this test',
};

t.test('every file is loaded, and waives only what is compared', async (t) => {
  const folder = join(import.meta.dirname, '../../../../hwqual/profiles');
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  t.equal(PROFILES.length, files.length, 'each has its line in index.ts');
  for (const name of files) {
    const profile = parseProfile(JSON.parse(readFileSync(join(folder, name), 'utf8')), name, items);
    t.equal(`${profile.id}.json`, name);
    t.ok(PROFILES.some((p) => p.id === profile.id));
  }
});

t.test('wrong ones are named', async (t) => {
  t.same(parseProfile(GOOD, 'good.json', items), GOOD);
  for (const [change, error] of [
    [{ id: 'Not A Word' }, /^x\.json: id: a word like/],
    [{ title: '' }, /title/],
    [{ match: [] }, /at least one machine/],
    [{ match: [{ systemVendor: 'X' }] }, /match\[0\]\.systemProduct/],
    [{ match: [{ systemVendor: 'X', systemProduct: 'Y', serial: 'Z' }] }, /match\[0\]\.serial: unknown key/],
    [{ waive: [{ item: 'cpu.microcode', reason: 'no' }] }, /waive\[0\]\.reason/],
    [{ waive: [{ item: '*', reason: 'all of it, please' }] }, /waive\[0\]\.item: an item such as/],
    [{ waive: [{ item: 'cpu.colour', reason: 'it has none at all' }] }, /nothing is compared under 'cpu\.colour'/],
    [{ waive: [{ item: 'cpu.microcode', reason: 'it cannot be told', alsoRefused: false }] }, /alsoRefused: true, or nothing/],
    [{ waive: {} }, /waive: a list/],
    [{ more: 1 }, /more: unknown key/],
    [{ notes: undefined }, /notes/],
  ] as const)
    t.throws(() => parseProfile({ ...GOOD, ...change }, 'x.json', items), error);
  for (const wrong of [null, 7, [], 'profile']) t.throws(() => parseProfile(wrong, 'x.json'), ProfileError);
});

t.test('a profile is for two of its machines', async (t) => {
  const profiles: Profile[] = [parseProfile(GOOD, 'good.json')];
  const stranger: Facts = structuredClone({ ...whole, coServer: 'B' });
  stranger.inventory.system.product = 'TwinServer 3';
  t.equal(profileOf(whole, { ...whole, coServer: 'B' }, profiles)?.id, 'good-one');
  t.equal(profileOf(whole, stranger, profiles), null);
  t.equal(profileOf(stranger, whole, profiles), null);
});

/** As QEMU shows one under its own emulation. */
function emulated(coServer: 'A' | 'B', change: (f: Facts['inventory']) => void = () => undefined): Facts {
  const facts = structuredClone({ ...whole, coServer });
  const { inventory: i } = facts;
  i.system = { ...i.system, vendor: 'QEMU', product: 'Standard PC (Q35 + ICH9, 2009)' };
  i.cpu.microcode = null;
  for (const nic of i.nics) nic.firmware = null;
  for (const dimm of i.memory.dimms) Object.assign(dimm, { speedMtPerS: null, configuredMtPerS: null, partNumber: null });
  i.tsc = { constant: true, nonstop: false, clocksource: 'tsc', stable: false };
  i.iommu.units = 0;
  i.virtualization = { extension: 'none', kvmDevice: false, usable: false };
  change(i);
  return facts;
}

t.test('an emulated pair passes by its profile, and only for what it waives', async (t) => {
  t.equal(compare(emulated('A'), emulated('B'), 'identical').verdict, 'refused');
  const passed = compareByProfile(emulated('A'), emulated('B'), 'identical');
  t.equal(passed.verdict, 'passed', passed.sentence);
  for (const item of passed.items) if (item.waived !== null) t.match(item.waived, /QEMU|has one only/);
  for (const [what, change] of [
    ['bios.version', (f) => Object.assign(f.bios, { version: '9' })],
    ['cpu.model', (f) => Object.assign(f.cpu, { model: 'Other' })],
    ['memory.installed', (f) => Object.assign(f.memory, { installedBytes: 2 ** 34 })],
    ['disks.size', (f) => Object.assign(f.disks[0] ?? {}, { sizeBytes: 2 ** 34 })],
    ['cpu.microcode', (f) => Object.assign(f.cpu, { microcode: '0x1' })],
    ['nics.link1.model', (f) => Object.assign(f.nics[0]?.pci ?? {}, { device: '10d3' })],
  ] as [string, (f: Facts['inventory']) => void][]) {
    const mismatched = compareByProfile(emulated('A'), emulated('B', change), 'identical');
    t.not(mismatched.verdict, 'passed', what);
    t.match(mismatched.sentence, what);
  }
});
