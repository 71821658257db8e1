// May this update be installed here? Pure: the manifest, what runs, and what the disk has room for; the answer is a reason, or none.
import { type Manifest, UpdateRefusal } from './bundle.ts';
import { compareVersions } from './version.ts';

export interface Here {
  /** The version that runs. */
  version: string;
  /** It was started for a trial and has not been found healthy yet. */
  onTrial: boolean;
  slotBytes: number;
}

/** `force`: an older version, and one from before `minimumFrom`, are taken too. Throws UpdateRefusal. */
export function judge(m: Manifest, here: Here, force: boolean): void {
  const order = compareVersions(m.version, here.version);
  if (order === 0) throw new UpdateRefusal('same', `Version ${m.version} runs here already: there is nothing to install.`);
  if (m.slot.bytes > here.slotBytes)
    throw new UpdateRefusal(
      'tooLarge',
      `Version ${m.version} needs ${m.slot.bytes} bytes, a slot of this disk has ${here.slotBytes}: install that version's image anew instead.`,
    );
  if (here.onTrial)
    throw new UpdateRefusal(
      'onTrial',
      `Version ${here.version} is being tried and has not been found healthy yet; what it would go back to must not be overwritten. Wait for it (twinstep update status).`,
    );
  if (order < 0 && !force)
    throw new UpdateRefusal(
      'downgrade',
      `Version ${m.version} is older than ${here.version}, which runs: what the newer one has written may not be understood. To install it all the same, force it (--force).`,
      { canForce: true },
    );
  if (compareVersions(here.version, m.minimumFrom) < 0 && !force)
    throw new UpdateRefusal(
      'tooOld',
      `Version ${m.version} can be installed from ${m.minimumFrom} on, here runs ${here.version}: install ${m.minimumFrom} first. To install it all the same, force it (--force).`,
      { canForce: true },
    );
}
