// What a lab of whole machines is built of: the bundle, the machines' image, the accelerator.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { buildBundle } from '../../../image/bundle/build.ts';
import { cacheDirectory, engineRootPath } from '../../../image/engine/engine-root.ts';
import { probeAcceleration } from '../../../image/engine/probe.ts';
import { buildGuest } from '../guest/build.ts';
import { buildTinyGuest } from '../guest/tiny/build.ts';
import { LabError } from '../lab-error.ts';
import { NODE_BINARY, REPOSITORY, requireRoot } from '../prepare.ts';
import type { MachinesWorkload } from './configuration.ts';
import { buildMachineImage } from './image.ts';
import type { MachinesParts } from './lab.ts';
import type { MachinesSettings } from './settings.ts';
import type { MachineSpec } from './spec.ts';

export async function prepareMachines(
  settings: MachinesSettings,
  specs: Record<CoServerName, MachineSpec>,
  options: { runsProduct: boolean; workload: MachinesWorkload },
  tell: (text: string) => void,
): Promise<MachinesParts> {
  requireRoot();
  const engineRoot = engineRootPath();
  if (!existsSync(join(engineRoot, 'usr/bin')))
    throw new LabError(`the engine's root file system is not at ${engineRoot}`, 'sh image/setup/setup.sh prepare');
  const bundles = { product: join(REPOSITORY, 'dist'), probe: join(settings.directory, 'probe') };
  tell('building the program that both machines run, or finding it built');
  await buildBundle({ outDirectory: bundles.product });
  mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
  await buildBundle({
    entry: join(import.meta.dirname, 'probe.ts'),
    web: join(import.meta.dirname, 'no-web'),
    outDirectory: bundles.probe,
  });
  tell("building the machines' image, or finding it built");
  const guest = options.workload.guest === 'tiny' ? await buildTinyGuest() : await buildGuest({ root: engineRoot });
  const image = await buildMachineImage({ root: engineRoot, node: NODE_BINARY, guest, cache: cacheDirectory() });
  const { acceleration, reason } = await probeAcceleration(engineRoot);
  tell(reason);
  return { settings, specs, engineRoot, acceleration, boot: { kind: 'kernel', image, bundles, ...options } };
}
