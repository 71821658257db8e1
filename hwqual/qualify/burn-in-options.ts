// `twinstep qualify --burn-in 10m`: which options of the burn-in it takes, and what it says of those that it cannot.
import { type Command, Option } from 'commander';
import { diskArea, seconds, share, testIds, wholeNumber } from '../burn-in/arguments.ts';
import { type BurnInFlags, TEST_IDS } from '../burn-in/index.ts';

/** Each with the reason why a report cannot be made of it. */
const ELSEWHERE: Record<string, string> = {
  '--reset-by-watchdog': 'it ends this machine before a report is written; after it, qualify --burn-in tells whether the watchdog did',
  '--phase <phase>': "the power-cut test is made by hand, in steps (hwqual/burn-in's README)",
  '--answer': "it only answers the partner's burn-in, and tests nothing here",
  '--for <time>': '--burn-in says how long already',
};

export interface BurnInOptionsGiven extends Omit<BurnInFlags, 'for' | 'answer'> {
  /** Seconds. */
  burnIn?: number;
}

export function addBurnInOptions(command: Command): void {
  command
    .option('--burn-in <time>', 'first burn in this server for so long (90s, 10m, 24h), and put the result into the report', seconds)
    .option('--only <tests>', `with --burn-in: some tests only: ${TEST_IDS.join(',')}`, testIds)
    .option('--memory-share <share>', 'with --burn-in: of the free memory, 0.01 to 0.95', share)
    .option('--disk-mib <MiB>', "with --burn-in: of the scratch file beside the guest's disk", wholeNumber(16, 1 << 30))
    .option('--disk-area <device:offset:length>', 'with --burn-in: instead of a file, an empty area of a device, in MiB', diskArea);
  for (const flags of Object.keys(ELSEWHERE)) command.addOption(new Option(flags).hideHelp());
}

/** Null: no burn-in. A string: what is wrong. */
export function burnInFlagsOf(given: BurnInOptionsGiven): BurnInFlags | null | string {
  const named = given as Record<string, unknown>;
  for (const [flags, reason] of Object.entries(ELSEWHERE)) {
    const option = new Option(flags);
    if (named[option.attributeName()] !== undefined) return `${option.long} is of twinstep burn-in: ${reason}`;
  }
  const { burnIn, only, memoryShare, diskMib, diskArea: area } = given;
  if (burnIn === undefined) {
    const lone = Object.entries({ '--only': only, '--memory-share': memoryShare, '--disk-mib': diskMib, '--disk-area': area });
    const first = lone.find(([, value]) => value !== undefined);
    return first ? `${first[0]} is about the burn-in: give --burn-in TIME, too` : null;
  }
  return {
    for: burnIn,
    ...(only ? { only } : {}),
    ...(memoryShare !== undefined ? { memoryShare } : {}),
    ...(diskMib !== undefined ? { diskMib } : {}),
    ...(area ? { diskArea: area } : {}),
  };
}
