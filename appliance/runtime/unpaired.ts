// A CoServer without the pair's key starts nothing but this: the consoles, which show the code to compare, and the pairing. When there is a key
// the boot goes on.
import { existsSync } from 'node:fs';
import type { CoServerConfig } from '../config.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { controlSocketOf, serveControl } from '../pairing/control.ts';
import { type PairingHost, startPairing } from '../pairing/host.ts';
import type { Outcome } from '../pairing/protocol.ts';
import { outcomeText, type PairingView } from '../pairing/view.ts';
import { startConsoles } from './consoles.ts';
import { ConfigError } from './load-config.ts';
import { log } from './log.ts';

/** Actions of the consoles carry the code that was shown: a code that changed meanwhile is not confirmed. */
const CONFIRM = 'confirm-code-';
const DIFFER = 'codes-differ';

/** What stands behind this CoServer's words on the consoles. */
export interface UnpairedFacts {
  config: CoServerConfig;
  version: string;
  startedAt: number;
}

/** Answers when the key file is there. Throws ConfigError when another process pairs this CoServer already. */
export async function becomePaired(config: CoServerConfig, version: string, webRoot: string): Promise<void> {
  const { keyFile, id } = config.pair;
  if (existsSync(keyFile)) return;
  const facts: UnpairedFacts = { config, version, startedAt: Date.now() };
  log('warning', `not paired: there is no ${keyFile}, so the workload is not started. Pair from a console, or with 'twinstep pair'`);
  const host = startPairing({ coServer: config.coServer, pairId: id, keyFile, nics: config.links.map((l) => l.nic), pairKey: null });
  try {
    const control = await serveControl(host, controlSocketOf(config.runDir));
    if (!control) throw new ConfigError(`'twinstep pair' is running on this CoServer: when it has made ${keyFile}, start again`);
    const consoles = await startConsoles({
      config,
      webRoot,
      snapshot: () => unpairedSnapshot(host.view(), host.linkProblems(), facts),
      onChange: (f) => host.onChange(f),
      request: async (action) => answer(host, action),
    });
    follow(host);
    const { fingerprint } = await host.paired;
    log('info', `paired: the key's fingerprint is ${fingerprint}`);
    await consoles.close();
    control.close();
  } finally {
    host.close();
  }
}

function follow(host: PairingHost): void {
  let said = '';
  const say = () => {
    const { code, phase, trouble } = host.view();
    const text = [phase, code ? `code ${code}` : '', trouble].filter((part) => part !== '').join(', ');
    if (text !== said) log('info', `pairing: ${text}`);
    said = text;
  };
  say();
  host.onChange(say);
  host.onEnded((outcome: Outcome) => log('warning', `pairing: ${outcomeText(outcome, host.view().coServer === 'A' ? 'B' : 'A')}`));
}

function answer(host: PairingHost, action: string): ReturnType<PairingHost['confirm']> {
  if (action === DIFFER) return host.differ();
  if (!action.startsWith(CONFIRM)) return { accepted: false, reason: `There is no action '${action}'.` };
  const shown = action.slice(CONFIRM.length);
  if (host.view().code !== shown) return { accepted: false, reason: 'The code has changed: compare the new one.' };
  return host.confirm(shown);
}

/** The picture of a CoServer that waits to be paired. Pure but for the clock. */
export function unpairedSnapshot(view: PairingView, problems: readonly string[], { config, version, startedAt }: UnpairedFacts): Snapshot {
  const at = Date.now();
  const other = config.coServer === 'A' ? 'B' : 'A';
  const sentence = [view.sentence, view.trouble].filter((s) => s !== '').join(' ');
  const mayAct = view.phase === 'code' && view.code !== null;
  const noCode = view.phase === 'confirmed' ? 'It was confirmed here.' : 'No code is shown now.';
  const absent = { role: 'none' as const, generation: 0, copy: 'unknown' as const };
  return {
    coServer: config.coServer,
    at,
    uptimeMs: at - startedAt,
    redundancy: 'isolated',
    redundancySentence: `Not paired: ${sentence}`,
    singlePoints: [],
    generation: 0,
    arbiter: { kind: 'witness', reachable: false, sentence: 'It is asked when there is a key.' },
    coServers: [
      {
        ...absent,
        name: config.coServer,
        present: true,
        phase: view.code ? `code ${view.code}` : view.phase,
        sentence: view.sentence,
        version,
      },
      {
        ...absent,
        name: other,
        present: false,
        phase: 'unknown',
        sentence: 'Look at its console: it must show the same code.',
        version: '',
      },
    ],
    links: config.links.map((l, i) => {
      const problem = problems.some((p) => p.startsWith(`${l.nic}:`));
      return { name: `link ${i + 1}`, nic: l.nic, up: false, carrier: !problem, rttMs: -1, since: startedAt };
    }),
    workload: {
      name: config.workload.name,
      state: 'off',
      level: 'faultTolerant',
      addresses: [],
      acceleration: config.engine.acceleration,
      sentence: 'Not started: it needs the key of the pair.',
    },
    progress: null,
    checkpoints: { mode: config.checkpoint.mode, interval: 0, perSecond: 0, pauseP50Ms: 0, pauseP99Ms: 0, recent: [] },
    heartbeat: { timeoutMs: config.heartbeat.timeoutMs, floorMs: 0, jitterP99Ms: 0, jitterMaxMs: 0 },
    gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 0, bytesOutPerS: 0 },
    timeline: [],
    takeovers: [],
    lockstep: null,
    audit: null,
    incidents: [],
    process: { rssBytes: process.memoryUsage.rss(), cpuPercent: 0 },
    actions: [
      {
        name: mayAct ? `${CONFIRM}${view.code}` : 'confirm-code',
        label: mayAct ? `CoServer ${other} shows ${view.code} too: confirm` : 'Confirm the code',
        allowed: mayAct,
        reason: mayAct ? '' : noCode,
      },
      { name: DIFFER, label: 'The codes differ: stop', allowed: mayAct, reason: mayAct ? '' : noCode },
    ],
    lab: config.labSocket !== '',
  };
}
