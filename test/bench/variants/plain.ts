// Variant 1: the guest on a plain tap: an engine, a bridge, a raw file. What this machine can do at all.
import { BridgeHost, type BridgeHostParts, INSIDE } from './bridge-host.ts';
import type { RunningVariant } from './variant.ts';

export async function startPlain(parts: BridgeHostParts, signal: AbortSignal): Promise<RunningVariant> {
  const host = await BridgeHost.up(parts, ['A']);
  try {
    await host.joinLan('A');
    const disk = ['-blockdev', `driver=file,filename=${INSIDE}/disk0,node-name=file0`, '-blockdev', 'driver=raw,file=file0,node-name=d0'];
    await host.startEngine('A', [...disk, '-device', 'virtio-blk-pci,id=disk0,drive=d0']);
    await host.waitReady('A', signal);
  } catch (error) {
    await host.down();
    throw error;
  }
  return {
    places: [{ role: 'primary', namespace: parts.settings.namespaces.A }],
    checkpointPort: null,
    checkpoints: async () => null,
    mode: async () => null,
    stop: () => host.down(),
  };
}
