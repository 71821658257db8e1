// What people do wrong, on whole machines: cables crossed and in the wrong socket, two servers that say they are A, a disk that was copied after its
// first start, one for the guest that holds something, a state partition without a byte left. Each is named on the serial console, stands in the way as
// far as it has to, and is mended as an operator would. No guest runs.
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { encodeGpt, PARTITION_TYPES, SECTOR_BYTES } from '../../../image/disk/gpt.ts';
import { LabError } from '../lab-error.ts';
import { fromCablesOn } from './first-start.ts';
import type { ApplianceMachine, Port } from './machine.ts';
import { copiedTale, fullTale, seen } from './mistakes-state.ts';
import { PairReport } from './pair-report.ts';
import { type Cables, PatchPanel } from './patch-panel.ts';
import type { Tale } from './stage.ts';

const NAMES = ['A', 'B'] as const;
type Name = (typeof NAMES)[number];
const STRAIGHT: Cables = [1, 2, 3, 4].map((n) => [`A${n}`, `B${n}`] as const);
const CROSSED: Cables = [
  ['A1', 'B2'],
  ['A2', 'B1'],
  ['A3', 'B3'],
  ['A4', 'B4'],
];
const IN_GUEST_PORT: Cables = [
  ['A1', 'B1'],
  ['A2', 'B3'],
  ['A3', 'B2'],
  ['A4', 'B4'],
];
const LOOPED: Cables = [
  ['A1', 'A2'],
  ['B1', 'B1'],
  ['A3', 'B3'],
  ['A4', 'B4'],
];
/** Ctrl-C. */
const BACK = '\x03';
const UP = '\x1b[A';
/** What another pair's guest has left on a disk. */
const GUEST_SECTORS = 2 ** 18;
const GUEST_ID = '7517a57f-0000-4000-8000-000000000001';
const GUEST_PARTITIONS = [
  { type: PARTITION_TYPES.linux, id: '7517a57f-0000-4000-8000-000000000002', name: 'erp-data', firstSector: 2048, sectors: 2 ** 17 },
];
const STANDS_IN_THE_WAY = /Not yet: put right what is marked/;

export const mistakesTale: Tale = async (stage) => {
  const { built, tools } = stage;
  const report = new PairReport(stage.options.report, stage.say, 'mistakes');
  const panel = await PatchPanel.make(STRAIGHT.flat());
  const ports = (end: Name, macs: Name = end): Port[] =>
    [1, 2, 3, 4].map((n) => ({ mac: `52:54:00:77:${macs === 'A' ? '0a' : '0b'}:0${n}`, panel: panel.portOf(`${end}${n}`) }));
  const content = { files: espFiles(tools, [built]), slots: { a: built.slot } };
  const [a, b] = [stage.disk(content), stage.disk(content)];
  const guestDisk = join(a.directory, 'guest.img');
  writeFileSync(guestDisk, encodeGpt(GUEST_PARTITIONS, GUEST_ID, GUEST_SECTORS).front);
  truncateSync(guestDisk, GUEST_SECTORS * SECTOR_BYTES);
  try {
    await stage.boot(a, {}, (A) => stage.boot(b, {}, (B) => atBoth(report, panel, { A, B }), { ports: ports('B') }), {
      ports: ports('A'),
      guestDisk,
    });
    panel.plug(STRAIGHT);
    await fullTale(stage, report, a, ports('A'));
    await copiedTale(stage, report, a, ports);
  } finally {
    panel.close();
  }
};

async function atBoth(report: PairReport, panel: PatchPanel, machines: Readonly<Record<Name, ApplianceMachine>>): Promise<void> {
  const { A, B } = machines;
  const both = async (pattern: RegExp, meaning: string, file?: string): Promise<void> => {
    for (const name of NAMES) await seen(report, machines[name], pattern, `${name}: ${meaning}`, file && `${file}-${name}`);
  };
  report.begin('two servers that both say they are A');
  panel.plug(STRAIGHT);
  await both(/which server is this.*Another server is heard/, 'the first screen, the other one is heard');
  for (const name of NAMES) machines[name].type('a\r');
  await both(/network ports/, 'its ports are asked for');
  for (const name of NAMES) machines[name].type('\r\r\r\r');
  await both(/The other server says that it is CoServer A too: choose B on one of the two/, 'named', 'same-letter');
  for (const name of NAMES) machines[name].type('\r');
  await both(STANDS_IN_THE_WAY, 'it stands in the way', 'same-letter-stays');
  B.type(`${BACK}${BACK}b\r`);
  await seen(report, B, /network ports/, 'B: another letter is chosen');
  B.type('\r\r\r\r');
  await both(/\[ok\] Link 1.*\[ok\] Link 2/, 'all is well');

  report.begin('the two link cables are crossed');
  panel.plug(CROSSED);
  await seen(
    report,
    A,
    /Crossed: port 1 here is connected to port 2 there \(link 1 here, link 2 there\).*Crossed: port 2 here is connected to port 1/,
    'A: named',
    'crossed-A',
  );
  await seen(report, B, /Crossed: port 1 here is connected to port 2 there.*Crossed: port 2 here/, 'B: named', 'crossed-B');
  for (const name of NAMES) machines[name].type('\r');
  await both(STANDS_IN_THE_WAY, 'it stands in the way', 'crossed-stays');

  report.begin('a link cable in the socket of the guest network');
  panel.plug(IN_GUEST_PORT);
  await seen(report, A, /Swapped: port 2 here is connected to port 3 there \(link 2 here, guest network there\)/, 'A: named', 'swapped-A');
  await seen(report, B, /Swapped: port 3 here is connected to port 2 there \(guest network here, link 2 there\)/, 'B: named', 'swapped-B');

  report.begin('cables that lead back');
  panel.plug(LOOPED);
  await seen(report, A, /Port 1 and port 2 of this server are connected to each other/, 'A: named', 'looped-A');
  await seen(report, B, /Port 1 \(link 1\) hears itself: its cable leads back into it/, 'B: named', 'looped-B');

  report.begin('mended: the uses of two ports are changed, the cable stays');
  panel.plug(IN_GUEST_PORT);
  await seen(report, B, /Swapped: port 3 here is connected to port 2 there/, 'B: seen again');
  B.type(BACK);
  await seen(report, B, /network ports/, "B: back at the ports' uses");
  // The cursor is on port 1. Of the uses that begin with l the second one is link 2.
  B.type('\rg\rll');
  await seen(report, B, / 2 +eth1 .*< guest network >.* 3 +eth2 .*< link 2 >/, "B: ports 2 and 3 have each other's use", 'uses-B');
  B.type('\r\r');
  await both(/\[ok\] Link 1.*\[ok\] Link 2/, 'all is well', 'mended');
  for (const name of NAMES)
    if (machines[name].screen().join(' ').includes('Not yet')) throw new LabError(`${name} still complains of what is mended`);

  report.begin("a disk with another pair's data");
  await fromCablesOn(machines, silently, {
    isCompared: false,
    atGuest: async (name) => {
      if (name === 'B') return;
      // A disk of the guest's that has room there.
      A.type('\r\r\r\r\x7f\x7f\x7f\x7f64\r ');
      await seen(report, A, /< \/dev\/nvme1n1 >.*It holds partitions \(erp-data\)/, 'A: named', 'used-disk');
      A.type('\r\r');
      await seen(report, A, /It holds partitions \(erp-data\)\. Choose another place, or type 'use'\./, 'A: refused', 'used-disk-refused');
      A.type('nose\r');
      await seen(report, A, /nose.*Choose another place, or type 'use'\./, 'A: another word is refused');
      A.type('\x7f\x7f\x7f\x7fuse');
      await seen(report, A, /Type 'use' to use it +use/, 'A: the word is typed');
      // Another place all the same: up to the choice, changed, and from the first field on.
      A.type(`${UP} ${UP.repeat(6)}`);
      await seen(report, A, /< a file on the system disk >/, 'A: another place');
    },
  });
  report.begin('the first start is through');
  await both(/TWINSTEP CoServer [AB] /, 'the console of the pair');
}

const silently = (): void => undefined;
