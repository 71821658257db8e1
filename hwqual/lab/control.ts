// The lab as a campaign sees it: every call goes through the control socket of the lab that runs, in this process or another.
import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import type { ColdRecords, CommandResult, CopiesComparison, LabControl, LinkNumber, PairStatus } from '../campaigns/lab-control.ts';
import { run } from './command.ts';
import { askLab } from './control-socket.ts';
import type { LabStatus } from './describe.ts';
import { checkDisk, readColdDisk } from './guest/data-disk.ts';
import { LabError } from './lab-error.ts';
import { CO_SERVERS, coServerPaths, type LabSettings, labPaths } from './settings.ts';
import { requestAction } from './snapshot-client.ts';
import { PLAIN_ENVIRONMENT } from './supervised.ts';
import { swapDisk } from './swap-disk.ts';
import { waitDuplex } from './wait-duplex.ts';

/** A guest shuts down in seconds, under emulation with clients still closing in some more. */
const SHUTDOWN_TIMEOUT_MS = 120_000;
/** Until a CoServer whose disk failed stands by: its engine and its streams end first. */
const TRY_DISK_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 200;
const COMPARE_BYTES = 1 << 20;

export function labControl(settings: LabSettings, log: (text: string) => void): LabControl {
  const ask = async (action: string, target = ''): Promise<unknown> => {
    const { result, close } = await askLab(labPaths(settings).controlSocket, { action, target });
    close();
    return result;
  };
  const status = async (): Promise<PairStatus> => ((await ask('status')) as LabStatus).coServers;
  const spawnLan = (command: string[]): ChildProcess =>
    spawn('nsenter', [`--net=/run/netns/${settings.namespaces.lan}`, '--', ...command], { stdio: ['pipe', 'pipe', 'pipe'] });
  const disk = (server: CoServerName) => join(coServerPaths(settings, server).disks, 'disk0');
  return {
    powerOff: async (server, seed) => void (await ask('power-off', seed === undefined ? server : `${server}:${seed}`)),
    kill: async (server, what) => void (await ask(`kill-${what}`, server)),
    killAtPhase: async (server, phase, share, delayMs) =>
      (await ask('power-off-at', `${server}:${phase}:${share}:${delayMs}`)) as Awaited<ReturnType<NonNullable<LabControl['killAtPhase']>>>,
    breakGuest: async (server, how) => String(await ask('break-guest', `${server}:${how}`)),
    disk: async (server, ...words) => {
      const said = String(await ask('disk', [server, ...words].join(':')));
      if (words[0] === 'ok') await useDiskAgain(settings, server, status);
      return said;
    },
    restartProcess: async (server, how) => void (await ask(how === 'asked' ? 'restart-process' : 'kill-process', server)),
    powerOn: async (server) => void (await ask('power-on', server)),
    isPowered: async (server) => ((await ask('status')) as LabStatus).lab.coServers[server].powered,
    link: async (link: LinkNumber, state) => void (await ask(state === 'up' ? 'mend-link' : 'cut-link', String(link))),
    freeze: async (server, what = 'all') => void (await ask(what === 'all' ? 'freeze' : 'freeze-process', server)),
    // Frozen for longer than its watchdog allows, it was reset, and starts again by itself.
    thaw: async (server) => {
      const { lab } = (await ask('status')) as LabStatus;
      if (lab.coServers[server].frozen !== 'no') await ask('thaw', server);
    },
    status,
    waitDuplex: async (timeoutS) => void (await waitDuplex(status, timeoutS * 1000)),
    execLan: (command) => collect(spawnLan(command)),
    spawnLan,
    shutdownGuest: () => shutdownGuest(settings, status),
    compareCopies: () => compareFiles(disk('A'), disk('B')),
    act: (server, action, typed) => requestAction(coServerPaths(settings, server).consoleSocket, action, typed),
    execOn: async (server, command) => {
      const where = (await ask('where', server)) as string[];
      return collect(spawn('nsenter', [...where, ...command], { stdio: ['pipe', 'pipe', 'pipe'], env: PLAIN_ENVIRONMENT }));
    },
    swapDisk: (server, how) => swapDisk(coServerPaths(settings, server), how),
    witness: async (state) => {
      await run('ip', ['-n', settings.namespaces.witness, 'link', 'set', 'mgmt0', state]);
    },
    bmc: async (server, fault) => void (await ask('bmc', `${server}:${fault}`)),
    checkDisk: async (server) => {
      const { clean, fsckOutput } = await checkDisk({ root: engineRootPath(), path: disk(server) });
      return { clean, detail: fsckOutput };
    },
    guestConsole: (server) => join(coServerPaths(settings, server).log, 'guest-console.log'),
    copyPath: disk,
    coldRecords: async (server): Promise<ColdRecords> => {
      const { clean, fsckOutput, records } = await readColdDisk({ root: engineRootPath(), path: disk(server) });
      return { clean, detail: fsckOutput, records };
    },
    evidencePaths: () => {
      const paths = labPaths(settings);
      return [
        ...CO_SERVERS.flatMap((name) => [coServerPaths(settings, name).log, coServerPaths(settings, name).state]),
        paths.log,
        paths.witness.log,
      ];
    },
    log,
  };
}

function collect(child: ChildProcess): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (d: Buffer) => {
      stdout += d;
    });
    child.stderr?.on('data', (d: Buffer) => {
      stderr += d;
    });
    child.stdin?.end();
    child.once('error', reject);
    child.once('close', (code) => resolve({ status: code ?? 128, stdout, stderr }));
  });
}

/** Asks the CoServer that may, then waits until both that have power say it is off. */
async function shutdownGuest(settings: LabSettings, status: () => Promise<PairStatus>): Promise<void> {
  const asked = await status();
  const refusals: string[] = [];
  let accepted = false;
  for (const name of CO_SERVERS) {
    const action = asked[name]?.actions.find((a) => a.name === 'shutdown-guest');
    if (action === undefined) refusals.push(`${name} does not answer`);
    else if (!action.allowed) refusals.push(`${name}: ${action.reason}`);
    else {
      await requestAction(coServerPaths(settings, name).consoleSocket, action.name);
      accepted = true;
      break;
    }
  }
  if (!accepted) throw new LabError(`the guest cannot be shut down now: ${refusals.join('; ')}`);
  const end = performance.now() + SHUTDOWN_TIMEOUT_MS;
  for (;;) {
    const now = await status();
    const states = CO_SERVERS.map((name) => now[name]?.workload.state ?? 'unknown');
    if (states.every((s) => s === 'off')) return;
    if (performance.now() > end)
      throw new LabError(`the guest is not off after ${SHUTDOWN_TIMEOUT_MS / 1000} s: A says ${states[0]}, B says ${states[1]}`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** What an operator does when the disk is mended: one that was not found broken needs nothing, nor one whose CoServer starts anew. */
async function useDiskAgain(settings: LabSettings, server: CoServerName, status: () => Promise<PairStatus>): Promise<void> {
  const end = performance.now() + TRY_DISK_TIMEOUT_MS;
  for (;;) {
    const now = (await status())[server];
    if (!now?.attention.some((a) => a.kind === 'diskOut' && now.actions.some((action) => action.name === 'try-disk'))) return;
    const action = now.actions.find((a) => a.name === 'try-disk');
    const isOwn = action?.allowed === true;
    if (isOwn) {
      await requestAction(coServerPaths(settings, server).consoleSocket, 'try-disk');
      return;
    }
    // The disk of the partner failed, not this one.
    if (action?.reason === 'The disk here has not failed.') return;
    if (performance.now() > end)
      throw new LabError(`CoServer ${server} does not use its disk again: ${action?.reason ?? 'no such action'}`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** Byte for byte. The place of the first difference is told in 4 KiB blocks, with how many differ. */
async function compareFiles(one: string, other: string): Promise<CopiesComparison> {
  const [a, b] = await Promise.all([open(one, 'r'), open(other, 'r')]);
  try {
    const [sizeA, sizeB] = [(await a.stat()).size, (await b.stat()).size];
    if (sizeA !== sizeB) return { identical: false, detail: `sizes differ: ${sizeA} and ${sizeB} bytes` };
    const [bufferA, bufferB] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)];
    let first = -1;
    let different = 0;
    for (let at = 0; at < sizeA; ) {
      const [readA, readB] = await Promise.all([a.read(bufferA, 0, COMPARE_BYTES, at), b.read(bufferB, 0, COMPARE_BYTES, at)]);
      const bytes = Math.min(readA.bytesRead, readB.bytesRead);
      if (bytes === 0) return { identical: false, detail: `a copy ends at ${at} of ${sizeA} bytes` };
      if (bufferA.compare(bufferB, 0, bytes, 0, bytes) !== 0)
        for (let block = 0; block < bytes; block += 4096)
          if (bufferA.compare(bufferB, block, Math.min(block + 4096, bytes), block, Math.min(block + 4096, bytes)) !== 0) {
            if (first < 0) first = at + block;
            different++;
          }
      at += bytes;
    }
    if (first < 0) return { identical: true, detail: `${sizeA} bytes equal` };
    return { identical: false, detail: `${different} blocks of 4 KiB differ, the first at byte ${first}` };
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}
