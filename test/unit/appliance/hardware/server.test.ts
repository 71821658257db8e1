// What the server is, in a few names: from the tables of a whole machine, and where nothing can be read.
import { setImmediate } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { ServerView } from '../../../../appliance/core/snapshot.ts';
import type { HardwareCommands, HardwareEvents } from '../../../../appliance/hardware/api.ts';
import { serverView } from '../../../../appliance/hardware/server.ts';
import { runHardwareWorker } from '../../../../appliance/hardware/worker.ts';
import { Caller } from '../../../../appliance/wire/rpc.ts';
import { FakeMachine } from '../../../../drivers/inventory/fake.ts';
import { type MachineSummary, readInventory } from '../../../../drivers/inventory/index.ts';

const SUMMARY: MachineSummary = {
  system: 'Debian GNU/Linux 13 (trixie)',
  hostname: 'a',
  uptimeS: 1,
  memoryBytes: 8 * 2 ** 30,
  memoryAvailableBytes: 1,
  filesystems: [],
};
const NOTHING: ServerView = { vendor: null, model: null, serial: null, bios: null, cpu: null, memoryBytes: null, system: null };

t.test('names of a machine; null where nothing is known', async (t) => {
  const machine = new FakeMachine();
  t.teardown(() => machine.close());
  const inventory = await readInventory(machine);
  const { system, bios, cpu, memory } = inventory;
  t.ok(system.vendor && bios.version && cpu.model, 'the fake is a whole machine');
  const view = serverView(inventory, SUMMARY);
  t.match(view, { vendor: system.vendor, model: system.product, memoryBytes: memory.installedBytes, system: SUMMARY.system });
  t.equal(view.bios, `${bios.vendor} ${bios.version}, ${bios.date}`);
  t.equal(view.cpu?.startsWith(`${cpu.model}, ${cpu.cores} core`), true, view.cpu ?? '');
  t.notOk('state' in view, 'nobody has said how the state lies on its disk');
  t.equal(serverView(inventory, SUMMARY, 'tpm2').state, 'encrypted (TPM2)');
  t.equal(serverView(inventory, SUMMARY, 'none').state, 'not encrypted');
  const sockets = serverView({ ...inventory, cpu: { ...cpu, cores: 32, sockets: 2 } }, SUMMARY);
  t.equal(sockets.cpu, `${cpu.model}, 32 cores in 2 sockets`);
  const bare = {
    ...inventory,
    system: { vendor: null, product: null, version: null, serial: null, uuid: null },
    board: { ...inventory.board, vendor: null, product: null, serial: null },
    bios: { vendor: null, version: null, date: null },
    cpu: { ...cpu, model: null, cores: null, sockets: null },
    memory: { ...memory, totalBytes: null, installedBytes: null },
  };
  t.strictSame(serverView(bare, { ...SUMMARY, system: null, memoryBytes: null }), NOTHING);
  t.equal(serverView(bare, SUMMARY).memoryBytes, SUMMARY.memoryBytes);
  t.equal(serverView({ ...bare, bios: { ...bare.bios, vendor: 'x'.repeat(500) } }, SUMMARY).bios?.length, 80);
});

t.test('the thread reads it once and offers it; where that fails it is not there, and all else goes on', async (t) => {
  for (const outcome of ['read', 'failed'] as const) {
    const { port1, port2 } = new MessageChannel();
    let times = 0;
    const caller = new Caller<HardwareCommands, HardwareEvents>('hardware', port1);
    const worker = runHardwareWorker(
      { bmc: '', copy: '/nowhere', nics: [], stateDir: '' },
      port2,
      [
        {
          source: 'nics',
          everyMs: 1,
          read: async () => ({
            source: 'nics',
            nics: [
              {
                nic: 'link1',
                role: 'link',
                carrier: true,
                speedMbps: 1000,
                fullDuplex: true,
                frames: 1,
                receiveErrors: 0,
                transmitErrors: 0,
                carrierChanges: 1,
              },
            ],
          }),
        },
      ],
      async () => {
        times++;
        if (outcome === 'failed') throw new Error('no such program');
        return { ...NOTHING, vendor: 'Acme' };
      },
    );
    let status = await caller.call('status', {});
    while (status.nics.length === 0 || (outcome === 'read' && !status.summary)) {
      await setImmediate();
      status = await caller.call('status', {});
    }
    t.match(status.nics, [{ nic: 'link1' }]);
    t.equal(status.summary?.vendor, outcome === 'read' ? 'Acme' : undefined);
    t.equal(times, 1);
    await worker.stop();
    port1.close();
  }
});
