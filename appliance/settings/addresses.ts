// The address on the management port, after a change: init of the image sets it at the start of the server only, and this process is started again
// under a guest that runs on.
import { runProgram } from '../console/cli/programs.ts';
import type { ManagementAddress } from './nics.ts';

export type RunIp = (args: readonly string[]) => Promise<string>;

const runIp: RunIp = (args) => runProgram('ip', args, 'iproute2');

/** Rejects with what `ip` said. */
export async function settleAddress(
  nic: string,
  { address, gateway }: ManagementAddress,
  former: string,
  ip: RunIp = runIp,
): Promise<void> {
  // First: one of the same network that stands before it would take it along when it goes.
  if (former !== '' && former !== address) await ip(['addr', 'del', former, 'dev', nic]).catch(() => '');
  await ip(['addr', 'replace', address, 'dev', nic]);
  if (gateway === '') await ip(['route', 'del', 'default', 'dev', nic]).catch(() => '');
  else await ip(['route', 'replace', 'default', 'via', gateway, 'dev', nic]);
}
