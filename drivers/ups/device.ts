// One reading of a UPS from upsd: a connection, three questions, done. A UPS is read every few seconds, and a connection that is kept would
// only be one more thing that can be half dead.
import { connect, type Socket } from 'node:net';
import { getRequest, judgeStatus, numberOf, parseReply, type UpsdReply, type UpsReading } from './codec.ts';

export interface UpsTarget {
  address: string;
  /** TCP; 3493 as a rule. */
  port: number;
  /** As in upsd's ups.conf. */
  name: string;
  /** For all of it; 3000 when left out. */
  timeoutMs?: number;
}

const TIMEOUT_MS = 3_000;
const VARIABLES = ['ups.status', 'battery.charge', 'battery.runtime'] as const;
/** Three short lines. */
const ANSWER_MAX_CHARS = 4_096;

/** Rejects with a sentence that names the UPS and what is wrong: nobody there, unknown, its driver does not hear it. */
export async function readUps(target: UpsTarget): Promise<UpsReading> {
  const { name } = target;
  const at = `the UPS ${name} at ${target.address}:${target.port}`;
  const lines = await ask(target, at);
  const values = new Map<string, string>();
  for (const [i, line] of lines.entries()) {
    const reply = parseReply(line, name);
    if (reply.kind === 'variable') values.set(reply.name, reply.value);
    // Only the status has to be there; many a UPS does not tell the rest.
    else if (i === 0) throw new Error(`${at}: ${refusal(reply, line)}`);
  }
  const status = values.get('ups.status') ?? '';
  const judged = judgeStatus(status);
  if (judged === null) throw new Error(`${at} is neither on line nor on battery: its status is "${status}"`);
  return {
    ...judged,
    chargePercent: numberOf(values.get('battery.charge') ?? ''),
    runtimeS: numberOf(values.get('battery.runtime') ?? ''),
    status,
  };
}

function refusal(reply: UpsdReply, line: string): string {
  if (reply.kind !== 'error') return `upsd answered "${line.slice(0, 80).replace(/[^\x20-\x7e]/g, '?')}"`;
  switch (reply.code) {
    case 'UNKNOWN-UPS':
      return 'upsd does not know it: compare ups.name with ups.conf';
    case 'DRIVER-NOT-CONNECTED':
      return 'its driver does not run';
    case 'DATA-STALE':
      return 'its driver does not hear it any more';
    case 'ACCESS-DENIED':
      return 'upsd does not let this address ask: see upsd.conf';
    default:
      return `upsd refused: ${reply.code}`;
  }
}

function ask({ address, port, name, timeoutMs = TIMEOUT_MS }: UpsTarget, at: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: address, port });
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(VARIABLES.map((variable) => getRequest(name, variable)).join('')));
    const take = (chunk: string): void => {
      text += chunk;
      if (text.length > ANSWER_MAX_CHARS) {
        socket.destroy(new Error('upsd does not stop talking'));
        return;
      }
      const lines = text.split('\n');
      if (lines.length <= VARIABLES.length) return;
      resolve(lines.slice(0, VARIABLES.length));
      // What still comes is not kept; one that does not hang up is hung up on when the time is over.
      socket.off('data', take).resume().end('LOGOUT\n');
    };
    socket.on('data', take);
    socket.on('error', (e) => reject(new Error(`${at}: ${e.message}`, { cause: e })));
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error(`${at}: upsd hung up`));
    });
  });
}
