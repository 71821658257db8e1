// Level 2: the target that stays one, and is served in the source's place; and the export that listens before there is a disk behind it.
import t from 'tap';
import { MirrorPair } from './mirror-pair.ts';

const MIB = 1024 * 1024;

t.test('only an equal target is confirmed, and served it holds every acknowledged write', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 2 * MIB });
  t.teardown(() => pair.end());
  const [source, target] = [pair.a.mirror, pair.b.mirror];
  await source.call('serveSolo', {});
  await t.rejects(target.call('confirmEqual', {}), /confirmEqual: this copy is 'closed'/);
  await target.call('startTarget', {});
  await source.call('startSource', {});
  await t.rejects(target.call('confirmEqual', {}), /not equal to the partner's: a resync must end first/);
  await source.call('resync', {});
  await target.call('confirmEqual', {});
  const guest = await pair.a.connect();
  await guest.write(4096, Buffer.from('acknowledged'));
  await target.call('close', {});
  await target.call('serveSolo', {});
  const restarted = await pair.b.connect();
  t.equal((await restarted.read(4096, 12)).toString(), 'acknowledged');
});

t.test('a copy that was being made equal is not served, whoever asks', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 2 * MIB });
  t.teardown(() => pair.end());
  const [source, target] = [pair.a.mirror, pair.b.mirror];
  await source.call('serveSolo', {});
  await target.call('startTarget', {});
  await source.call('startSource', {});
  await target.call('close', {});
  await t.rejects(target.call('serveSolo', {}), /this copy is not whole: it was being made equal to the partner/);
  // It stays so when its process is started again, and ends with a resync that does.
  await source.call('goSolo', {});
  await target.call('close', {});
  await target.call('startTarget', {});
  await source.call('startSource', {});
  await source.call('resync', {});
  await target.call('close', {});
  await target.call('serveSolo', {});
});

t.test('an engine that waits for the export is let in before the disk is served, and answered then', async (t) => {
  const pair = new MirrorPair({ sizeBytes: 2 * MIB, isAwaited: true });
  t.teardown(() => pair.end());
  const waiting = pair.a.connect();
  await pair.a.mirror.call('open', {});
  await pair.a.mirror.call('serveSolo', {});
  const guest = await waiting;
  await guest.write(0, Buffer.from('replayed'));
  t.equal(pair.a.disk().toString('latin1', 0, 8), 'replayed');
  const refused = t.rejects(pair.b.connect(), 'a copy that becomes a target serves nobody');
  await pair.b.mirror.call('startTarget', {});
  await refused;
});
