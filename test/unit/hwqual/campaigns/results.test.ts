import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EvidenceKeeper, resultsName, saveReport } from '../../../../hwqual/campaigns/results.ts';
import { runStory } from '../../../../hwqual/campaigns/story.ts';
import { FakeClients, FakeClock, FakeLab } from './fake-pair.ts';

t.test('report and evidence', async (t) => {
  const folder = t.testdir({});
  const logs = { A: join(folder, 'A/log'), B: join(folder, 'B/log') };
  for (const [name, path] of Object.entries(logs)) {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'guest.log'), `serial of ${name}`);
    writeFileSync(join(path, 'tls.pem'), 'secret');
    mkdirSync(join(path, 'old'));
    writeFileSync(join(path, 'old/journal'), 'x');
    truncateSync(join(path, 'old/journal'), 1 << 30);
  }
  const clock = new FakeClock();
  const lab = new FakeLab(clock);
  lab.evidencePaths = () => [logs.A, logs.B, join(folder, 'gone')];
  const keeper = new EvidenceKeeper(lab, join(folder, 'evidence'));
  const clients = new FakeClients(clock, { hang: true });
  const report = await runStory({ rounds: 2, lab, clients, clock, onRound: (round) => keeper.keep(round) });
  t.strictSame(readdirSync(keeper.folder), ['round-1'], 'only the round that failed');
  t.strictSame(readdirSync(join(keeper.folder, 'round-1')).sort(), ['0-A-log', '1-B-log', 'round.json', 'status.json']);
  t.equal(readFileSync(join(keeper.folder, 'round-1/1-B-log/guest.log'), 'utf8'), 'serial of B');
  const journal = statSync(join(keeper.folder, 'round-1/0-A-log/old/journal'));
  t.equal(journal.size, 1 << 30);
  t.ok(journal.blocks < 1000, 'holes stay holes');
  t.notOk(existsSync(join(keeper.folder, 'round-1/0-A-log/tls.pem')), 'no key leaves the lab');
  t.ok(lab.lines.some((line) => /evidence .*gone not kept/.test(line)));

  const saved = await saveReport(report, join(folder, 'deep/story.json'));
  t.same(JSON.parse(readFileSync(saved.json, 'utf8')), JSON.parse(JSON.stringify(report)));
  t.match(readFileSync(saved.page, 'utf8'), /^<!doctype html>/);
  t.equal(saved.page, join(folder, 'deep/story.html'));
  t.equal(resultsName('kills', 0), '1970-01-01T00-00-00-kills');
});
