// A CoServer without the pair's key starts nothing but this: the consoles, which show the code to compare, and the pairing. When there is a key
// the boot goes on.
import { existsSync } from 'node:fs';
import type { CoServerConfig } from '../config.ts';
import { controlSocketOf, serveControl } from '../pairing/control.ts';
import { type PairingHost, startPairing } from '../pairing/host.ts';
import { keepingProblem, loadPending } from '../pairing/key-file.ts';
import type { Outcome } from '../pairing/state.ts';
import { outcomeText } from '../pairing/view.ts';
import { startConsoles } from './consoles.ts';
import { ConfigError } from './load-config.ts';
import { log } from './log.ts';
import { CONFIRM, DIFFER, type UnpairedFacts, unpairedSnapshot } from './unpaired-picture.ts';

/** Several of the partner's heartbeats, or of its pairing's messages; a start that waits longer costs redundancy. */
const TROUBLE_EVERY_MS = 60_000;
const FINISH_MS = 3_000;

/** Answers when the key file is there. Throws ConfigError when another process pairs this CoServer already. */
export async function becomePaired(config: CoServerConfig, version: string, webRoot: string): Promise<void> {
  const { keyFile, id } = config.pair;
  if (existsSync(keyFile)) {
    if (loadPending(keyFile, id) !== null) await finishNewKey(config);
    return;
  }
  const problem = keepingProblem(keyFile);
  if (problem) throw new ConfigError(`not paired, and ${problem}`);
  const facts: UnpairedFacts = { config, version, startedAt: Date.now() };
  log('warning', `not paired: there is no ${keyFile}, so the workload is not started. Pair from a console, or with 'twinstep pair'`);
  const host = startPairing({ coServer: config.coServer, pairId: id, keyFile, nics: config.links.map((l) => l.nic), pairKey: null });
  try {
    const control = await serveControl(host, controlSocketOf(config.runDir));
    if (!control) throw new ConfigError(`'twinstep pair' is running on this CoServer: when it has made ${keyFile}, start again`);
    const consoles = await startConsoles({
      config,
      webRoot,
      snapshot: () => unpairedSnapshot(host.view(), host.linkProblems(), facts, Date.now()),
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

/** An interrupted change of the key: if the partner has gone over to the new one, so does this side; if not, the old one still counts. */
async function finishNewKey(config: CoServerConfig): Promise<void> {
  const { keyFile, id } = config.pair;
  const host = startPairing({ coServer: config.coServer, pairId: id, keyFile, nics: config.links.map((l) => l.nic), pairKey: null });
  let stop = () => {};
  const told = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, FINISH_MS);
    stop = host.onChange(() => {
      if (host.view().phase !== 'paired') return;
      clearTimeout(timer);
      resolve();
    });
  });
  await told;
  stop();
  if (host.view().phase === 'paired') {
    await host.paired;
    log('info', 'pairing: the new key, agreed before the last stop, is the key now: the partner has it too');
  } else
    log('warning', `pairing: a new key waits for the partner (${keyFile}.pending); the old one is used. To finish: twinstep pair on both`);
  host.close();
}

function follow(host: PairingHost): void {
  let said = '';
  let troubledAt = Number.NEGATIVE_INFINITY;
  const say = () => {
    const { code, phase, trouble } = host.view();
    const text = [phase, code ? `code ${code}` : ''].filter((part) => part !== '').join(', ');
    // Before there is a key anybody on the link can make trouble, as often as he likes.
    const isTold = trouble === '' || performance.now() - troubledAt < TROUBLE_EVERY_MS;
    if (!isTold) troubledAt = performance.now();
    if (text !== said || !isTold) log('info', `pairing: ${text}${isTold ? '' : `, ${trouble}`}`);
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
