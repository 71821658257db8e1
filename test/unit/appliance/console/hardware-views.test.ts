// The hardware's page: what an operator reads on every console, and what the command line answers to whatever watches servers.
import t from 'tap';
import { runHardware } from '../../../../appliance/console/cli/hardware.ts';
import { consoleModel } from '../../../../appliance/console/model.ts';
import { hardwareLines } from '../../../../appliance/console/serial/hardware-pages.ts';
import { overviewLines, pageText } from '../../../../appliance/console/serial/pages.ts';
import type { Snapshot } from '../../../../appliance/core/snapshot.ts';
import { harness } from './api/harness.ts';
import { duplex, NOW } from './fixtures.ts';
import { hardwareTroubled, notWatched, withHardware } from './hardware-fixtures.ts';

const model = (s: Snapshot) => {
  const { hardware } = consoleModel(s);
  if (!hardware) throw new Error('no hardware');
  return hardware;
};

t.test('a fault: what, where, what to do, what it does to the pair, since when', async (t) => {
  const h = model(hardwareTroubled());
  t.match(h, { word: '3 faults, critical', tone: 'critical' });
  t.match(h.brief, /^3 faults, critical: CoServer A, a fan has failed: FAN2; the two servers do not qualify/);
  t.match(h.faults[0], {
    tone: 'critical',
    title: 'CoServer A: a fan has failed',
    facts: [
      { label: 'Where', value: 'FAN2' },
      { label: 'Read', value: '0 RPM, too low, critical' },
      { label: 'What to do', value: 'Replace the fan.' },
      { label: 'The pair', value: /moves to B before the part fails/ },
      { label: 'Since', value: '2025-11-20 23:40:11 UTC' },
    ],
    evidence: ['600 RPM, too low, critical'],
  });
  t.strictSame(
    h.faults[2]?.facts.map((f) => f.label),
    ['Where', 'What to do', 'The pair', 'More'],
    "the partner's: what is not known here is not said",
  );
  t.equal(h.more, 'Not shown: 9 more sensors.');
});

t.test('readings with their judgement, and what cannot be read', async (t) => {
  const h = model(hardwareTroubled());
  const find = (label: string) => [...h.readings.flatMap((g) => g.facts), ...h.sources].find((f) => f.label === label);
  t.match(find('FAN2'), { value: '0 RPM, critical', tone: 'critical' });
  t.match(find('FAN8'), { value: 'nothing plugged in', tone: 'info' });
  t.match(find('12V'), { value: '12.06 V', tone: 'good' });
  t.match(find('PS1 Status'), { value: 'Presence detected' });
  t.match(find('Chassis Intru'), { value: 'well' });
  t.match(find('/dev/sda'), {
    value: 'says that it fails, 31 C, 1 sector reallocated, 61 hours of work, ST4000NM0035-1V4107, serial ZC1A2B3C',
    tone: 'critical',
  });
  t.match(find('/dev/nvme0n1'), { value: /^healthy, 38 C, 3 % worn, 380 days of work/, tone: 'good' });
  t.match(find('link2'), { value: 'link of the pair, no carrier, 12 damaged frames', tone: 'warning' });
  t.match(find('link1'), { value: 'link of the pair, connected, 25 Gbit/s, no damaged frame' });
  t.match(find('business'), { value: 'connected, 10 Gbit/s, no damaged frame' });
  t.match(find('SMART'), { value: 'cannot be read: smartctl printed no JSON; last read 15 min ago', tone: 'warning' });
  t.match(find('Memory'), { value: 'not there: no memory controller driver is loaded', tone: 'info' });
  t.match(find('Sensors'), { value: 'read within the last minute', tone: 'good' });
  t.notOk(find('BMC'));
  const server = { vendor: null, model: null, serial: null, bios: null, cpu: null, memoryBytes: null, system: null };
  const stateOf = (state: object) => model(withHardware({ server: { ...server, ...state } })).server.find((f) => f.label === 'State');
  t.match(stateOf({ state: 'encrypted (TPM2)' }), { value: 'encrypted (TPM2)' });
  t.equal(stateOf({}), undefined, 'not where no image of the appliance runs');
  const blind = model(withHardware({ sources: [{ source: 'cpu', state: 'waiting', reason: '', readAt: null }], server: null }));
  t.match(blind.sources, [{ label: 'BMC', value: /not read: none is configured/ }, { value: 'not read yet' }]);
  t.match(blind.server, [{ value: 'what it is made of could not be read', tone: 'unknown' }]);
});

t.test('well, not watched, not known: each says so; an older picture says nothing', async (t) => {
  t.match(model(withHardware()), { word: 'well', tone: 'good', brief: 'well', qualification: { word: 'passed', tone: 'good' } });
  const unseen = model(notWatched());
  t.match(unseen, { word: 'not watched', tone: 'unknown', sentence: /Nobody watches the hardware of CoServer A: hardware\.watch is off/ });
  t.strictSame([unseen.sources, unseen.server, unseen.readings], [[], [], []]);
  t.match(model(withHardware({ sources: [] })), { word: 'not known yet', tone: 'unknown' });
  const [told] = (hardwareTroubled().hardware?.faults ?? []).slice(2);
  if (!told) throw new Error('fault');
  t.match(model({ ...notWatched(), hardware: { ...model2(), faults: [told] } }), {
    word: '1 fault',
    tone: 'warning',
    sentence: /Of CoServer A nothing is known here/,
  });
  t.equal(consoleModel(duplex()).hardware, null);
  t.match(pageText(hardwareLines(consoleModel(duplex()), 80)), /not known/);
});

function model2() {
  const { hardware } = notWatched();
  if (!hardware) throw new Error('no hardware');
  return hardware;
}

t.test('the serial page says every fact of the model, and the overview its worst', async (t) => {
  for (const s of [withHardware(), hardwareTroubled(), notWatched()]) {
    const m = consoleModel(s);
    const lines = pageText(hardwareLines(m, 80)).split('\n');
    for (const line of lines) t.ok(line.length <= 80, line);
    const said = lines.join(' ').replace(/\s+/g, ' ');
    const h = model(s);
    // Two columns interleave their lines: values of sensors are looked for word by word.
    const wide = [...h.faults.flatMap((f) => f.facts), ...h.server, ...h.sources, ...h.readings.flatMap((g) => g.facts)];
    for (const f of wide) for (const word of f.value.split(' ')) t.ok(said.includes(word), `${f.label}: ${word}`);
    for (const f of h.faults) for (const text of [f.title, ...f.evidence]) t.ok(said.includes(text), text);
    for (const i of h.qualification.items) for (const text of [i.item, i.a]) t.ok(said.includes(text), text);
    t.match(pageText(overviewLines(m, 80)).replace(/\s+/g, ' '), `Hardware ${h.brief}`);
  }
});

t.test('control characters of a BMC reach no terminal', async (t) => {
  const evil = '\u001b[2J';
  const s = withHardware({
    sensors: [{ name: evil, kind: 'fan', value: 1, unit: evil, level: 'ok', states: [evil] }],
    sources: [{ source: 'sel', state: 'failed', reason: evil, readAt: NOW }],
  });
  t.notMatch(JSON.stringify(model(s)), /\\u001b/);
});

t.test('the command: what is known, and an exit code for whatever watches servers', async (t) => {
  const h = await harness({ first: withHardware() });
  t.teardown(() => h.close());
  const run = async (...argv: string[]) => {
    let [stdout, stderr] = ['', ''];
    const io = { stdout: { write: (x: string) => (stdout += x) }, stderr: { write: (x: string) => (stderr += x) } };
    return { code: await runHardware([...argv, '--socket', h.socketPath], io), stdout, stderr: () => stderr };
  };
  t.match(await run(), { code: 0, stdout: /^\[ok\] Hardware: well\n/ });
  const first = hardwareTroubled().hardware?.faults ?? [];
  h.set(withHardware({ faults: first.slice(1) }));
  t.match(await run(), { code: 1, stdout: /2 faults/ });
  h.set(hardwareTroubled());
  const json = await run('--json');
  t.equal(json.code, 2);
  t.match(JSON.parse(json.stdout), { coServer: 'A', exitCode: 2, hardware: { faults: [{ code: 'fanFailed' }, {}, {}] } });
  h.set(withHardware({ qualification: { verdict: 'refused', sentence: 'the BIOS version differs' } }));
  t.equal((await run()).code, 2, 'two servers that do not qualify');
  h.set(withHardware({ qualification: { verdict: 'unknown', sentence: 'not compared yet' } }));
  t.equal((await run()).code, 0);
  h.set(notWatched());
  t.match(await run(), { code: 3, stdout: /not watched/ });
  h.set(duplex());
  t.match(await run('--json'), { code: 3, stdout: /"hardware": null/ });
  const help = await run('--help');
  t.equal(help.code, 0);
  t.match(help.stdout, /Exit code: 0 well; 1 a warning; 2 something critical/);
  t.equal((await run('--nonsense')).code, 3);
});
