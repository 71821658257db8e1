// Installs an update on files that stand for a disk's partitions, as the appliance would; a test kills it. argv: place (JSON), update's path.
import { createPublicKey } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { UpdateStore } from '../../appliance/update/update-store.ts';

const given = JSON.parse(process.argv[2] ?? '{}') as { key: string };
const store = new UpdateStore({ ...(given as object), keys: [createPublicKey(given.key)] } as unknown as ConstructorParameters<
  typeof UpdateStore
>[0]);
process.stdout.write('begin\n');
const onProgress = (done: number, total: number) => process.stdout.write(`${Math.floor((100 * done) / total)} %\n`);
await store.receive(createReadStream(process.argv[3] ?? '', { highWaterMark: 1 << 18 }), { onProgress, pace: async () => {} });
await store.activate();
process.stdout.write('end\n');
