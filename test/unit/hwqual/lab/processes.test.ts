import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { continueTree, identify, isAlive, processTree, stopTree } from '../../../../hwqual/lab/processes.ts';

const stateOf = (pid: number) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

t.test('stops and continues a process with its descendants', async (t) => {
  const shell = spawn('sh', ['-c', 'sleep 60 & sh -c "sleep 60; true"; true'], { stdio: 'ignore' });
  const pid = shell.pid ?? 0;
  const ended = new Promise((resolve) => shell.once('exit', resolve));
  await until(() => processTree(pid).length === 4);
  const all = processTree(pid);
  t.equal(all[0], pid, 'parents first');
  t.same(stopTree(pid).sort(), [...all].sort());
  await until(() => all.every((p) => stateOf(p) === 'T'));
  t.pass('all stand still');
  continueTree(pid);
  await until(() => all.every((p) => stateOf(p) === 'S'));
  t.pass('all go on');
  const identity = identify(pid);
  t.ok(isAlive(identity));
  t.notOk(isAlive({ ...identity, startTime: identity.startTime + 1 }), 'a pid used again is another process');
  for (const p of all) process.kill(p, 'SIGKILL');
  await ended;
  await until(() => all.every((p) => !existsSync(`/proc/${p}`) || stateOf(p) === 'Z'));
  t.notOk(isAlive(identity));
});
