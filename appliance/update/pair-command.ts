// `twinstep update pair start|allow-restart|stop|status`: the update of both CoServers. It is the running product that does it: without one there is
// nobody to speak with the partner.
import { Argument, type Command } from 'commander';
import { UpdateRefusal } from './bundle.ts';
import { askLocal } from './local.ts';
import type { PairUpdateStatus, PartnerVersions } from './pair-status.ts';
import { progressText } from './pair-status.ts';

export const PAIR_ACTIONS = ['start', 'allow-restart', 'stop', 'status'] as const;
export type PairVerb = (typeof PAIR_ACTIONS)[number];

const API_ACTIONS = { start: 'start', 'allow-restart': 'allowRestart', stop: 'stop' } as const;

export interface PairCommandOptions {
  json?: boolean;
  restartGuest?: boolean;
  socket: string;
}

export function addPairVerb(command: Command, run: (verb: PairVerb, options: PairCommandOptions) => void): void {
  command
    .addArgument(new Argument('<action>', 'what to do').choices(PAIR_ACTIONS))
    .option('--restart-guest', 'start: the guest may be restarted, where there is no other way')
    .option('--json', 'status: as JSON')
    .action(run);
}

interface Status {
  version: string;
  pair: PairUpdateStatus | null;
  partner: PartnerVersions | null;
}

/** Answers what to print. Throws UpdateRefusal with the reason. */
export async function runPairVerb(verb: PairVerb, { json = false, restartGuest = false, socket }: PairCommandOptions): Promise<string> {
  if (verb === 'status') {
    const { status, value } = await askLocal(socket, '/api/update');
    if (status !== 200) throw refusal(status, value);
    return json ? `${JSON.stringify(value, null, 2)}\n` : pairText(value as Status);
  }
  const action = API_ACTIONS[verb];
  const { status, value } = await askLocal(
    socket,
    '/api/update/pair',
    verb === 'start' ? { action, mayRestartGuest: restartGuest } : { action },
  );
  if (status !== 200) throw refusal(status, value);
  const version = (value as { detail?: { version?: unknown } }).detail?.version;
  switch (verb) {
    case 'start':
      return `The update of both CoServers to ${String(version)} has begun: twinstep update pair status.\n`;
    case 'allow-restart':
      return 'The guest may be restarted by it.\n';
    case 'stop':
      return 'It does not go on. What runs goes on running.\n';
    default:
      verb satisfies never;
      return '';
  }
}

export function pairText({ version, pair, partner }: Status): string {
  const other = partner
    ? `${partner.version}${partner.onTrial ? ', on trial' : ''}${partner.received ? `; ${partner.received} received` : ''}${partner.givenUp ? `; ${partner.givenUp} given up` : ''}`
    : 'not heard';
  const both = [`This one   ${version}`, `The other  ${other}`];
  if (!pair) return `${[...both, 'Pair       no update of both was begun'].join('\n')}\n`;
  const lines = [...both, `Pair       to ${pair.target}, ${pair.state}: ${pair.text}`];
  if (pair.sent) lines.push(`On its way ${progressText(pair.target, pair.sent)}`);
  if (pair.asksRestartGuest) lines.push('Say so by  twinstep update pair allow-restart');
  return `${lines.join('\n')}\n`;
}

function refusal(status: number, value: unknown): UpdateRefusal {
  const reason = (value as { reason?: unknown } | null)?.reason;
  if (status === 404)
    return new UpdateRefusal('notAppliance', 'The process that runs here knows of no updates: it was not started from an image.');
  return new UpdateRefusal('busy', typeof reason === 'string' ? reason : `The process answers with status ${status}.`);
}
