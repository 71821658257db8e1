// What an update changes of the configuration of a process, and what the rule is told of the core.
import { join } from 'node:path';
import t from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { statusOf } from '../../../../appliance/core/machine.ts';
import { configDuringUpdate, pairNow } from '../../../../appliance/runtime/pair-update.ts';
import { writeLevel, writeWish } from '../../../../appliance/update/pair-wish.ts';
import type { Place } from '../../../../appliance/update/place.ts';
import { duplexState } from '../core/duplex-state.ts';
import { folderFor } from '../update/machine.ts';

t.test('the configuration while an update goes on', async (t) => {
  const recordFile = join(folderFor(t), 'update.json');
  const place = { recordFile, version: '1.1.0' } as Place;
  const config = { rejoin: { compatibleVersions: ['0.9.0'] }, workload: { level: 3 } } as unknown as CoServerConfig;
  t.strictSame(configDuringUpdate(config, null), { config, told: null });
  t.strictSame(configDuringUpdate(config, place), { config, told: null });
  const more = { engine: '12.0.0', minimumFrom: '1.0.0', from: ['1.0.0', '0.9.0'], since: '', by: '', mayRestartGuest: true, end: null };
  writeWish(recordFile, { number: 1, startedOn: 'A', target: '1.1.0', ...more });
  t.strictSame(configDuringUpdate(config, place).config.rejoin.compatibleVersions, ['0.9.0', '1.0.0']);
  writeLevel(recordFile, 2);
  const stepped = configDuringUpdate(config, place);
  t.equal(stepped.config.workload.level, 2);
  t.match(stepped.told, /protection level 2/);
  t.equal(config.workload.level, 3);
});

t.test('what the rule is told', async (t) => {
  const duplex = duplexState({ partnerPromotable: true });
  const partner = { ...statusOf(duplex), phase: 'secondary' as const };
  t.strictSame(pairNow({ ...duplex, partner }), { role: 'primary', isDuplex: false, mayMove: false, whyNotLockstep: null });
  const proved = { ...duplex, partner, audit: { ...duplex.audit, state: 'proven' as const } };
  t.strictSame(pairNow(proved), { role: 'primary', isDuplex: true, mayMove: true, whyNotLockstep: null });
  const secondary = { ...duplex, phase: { ...duplex.phase, kind: 'secondary' as const } };
  t.match(pairNow({ ...secondary, partner: { ...partner, proved: true } }), { role: 'secondary', isDuplex: true, mayMove: false });
  t.match(pairNow({ ...secondary, partner: { ...partner, proved: true }, partnerHeard: false }), { isDuplex: false });
  t.match(pairNow({ ...secondary, partner: { ...partner, proved: false } }), { isDuplex: false });
  t.match(pairNow({ ...duplex, phase: { ...duplex.phase, kind: 'standby' } }), { role: 'none', isDuplex: false });
  const qualification = { verdict: 'refused' as const, sentence: 'microcode: 1 on A, 2 on B' };
  t.match(pairNow({ ...proved, mustQualify: true, qualification }), { whyNotLockstep: 'microcode: 1 on A, 2 on B' });
  t.match(pairNow({ ...proved, mustQualify: false, qualification }), { whyNotLockstep: null });
});
