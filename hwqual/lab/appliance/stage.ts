// What the tales of the appliance's lab play on.
import type { DiskContent } from '../../../image/disk/disk-image.ts';
import type { ApplianceMachine, ApplianceOptions } from './machine.ts';
import type { Version } from './versions.ts';

export interface Stage {
  built: Version;
  tools: string;
  /** A new machine's own folder, with a disk of this content. */
  disk(content: DiskContent): { disk: string; directory: string };
  /** Boots, lets `tale` watch, pulls the plug. */
  boot(
    where: Pick<ApplianceOptions, 'disk' | 'directory' | 'network'>,
    given: Record<string, string>,
    tale: (machine: ApplianceMachine) => Promise<void>,
  ): Promise<void>;
  say(line: string): void;
}
