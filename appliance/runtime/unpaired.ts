// A CoServer without the pair's key starts nothing but this: the consoles, which show the code to compare, and the pairing. When there is a key
// the boot goes on.
import { existsSync } from 'node:fs';
import type { CoServerConfig } from '../config.ts';
import { controlSocketOf, serveControl } from '../pairing/control.ts';
import { type PairingHost, startPairing } from '../pairing/host.ts';
import { keepingProblem } from '../pairing/key-file.ts';
import type { Outcome } from '../pairing/protocol.ts';
import { outcomeText } from '../pairing/view.ts';
import { startConsoles } from './consoles.ts';
import { ConfigError } from './load-config.ts';
import { log } from './log.ts';
import { CONFIRM, DIFFER, type UnpairedFacts, unpairedSnapshot } from './unpaired-picture.ts';

/** Answers when the key file is there. Throws ConfigError when another process pairs this CoServer already. */
export async function becomePaired(config: CoServerConfig, version: string, webRoot: string): Promise<void> {
  const { keyFile, id } = config.pair;
  if (existsSync(keyFile)) return;
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
