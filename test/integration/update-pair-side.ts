// One CoServer of update-pair.test.ts: the pair's update as the product puts it together, over real links on loopback addresses, on files that stand for
// its disk. Its core is the parent, which says where the guest is. argv: SideSetup as JSON.
import { createPublicKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerConfig } from '../../appliance/config.ts';
import { type State, statusOf } from '../../appliance/core/machine.ts';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { configDuringUpdate, startPairUpdate } from '../../appliance/runtime/pair-update.ts';
import type { Place } from '../../appliance/update/place.ts';
import { UpdateStore } from '../../appliance/update/update-store.ts';
import { duplexState } from '../unit/appliance/core/duplex-state.ts';

export interface SideSetup {
  coServer: 'A' | 'B';
  place: Omit<Place, 'keys'>;
  key: string;
  address: string;
  peer: string;
  engine: string;
  /** It never becomes healthy. */
  isBad: boolean;
}

const TICK_MS = 200;

export interface FromParent {
  now?: { role: 'primary' | 'secondary' | 'none'; isDuplex: boolean };
  ask?: 'start' | 'stop';
}

export type FromSide =
  | { kind: 'ready'; level: 2 | 3; compatible: readonly string[] }
  | { kind: 'move' | 'restartServer' | 'restartProcess' }
  | { kind: 'told'; text: string }
  | { kind: 'answer'; answer: object }
  | { kind: 'status'; state: string | null; text: string; hears: boolean };

const setup = JSON.parse(process.argv[2] ?? '{}') as SideSetup;
const say = (m: FromSide) => process.send?.(m);
const place: Place = { ...setup.place, keys: [createPublicKey(setup.key)] };
const store = new UpdateStore(place);
const configured = {
  coServer: setup.coServer,
  links: [{ nic: 'lo', address: setup.address, peer: setup.peer }],
  engine: { binary: setup.engine },
  watchdog: { device: '/dev/watchdog' },
  workload: { level: 3 },
  rejoin: { compatibleVersions: [] as string[] },
} as unknown as CoServerConfig;
const { config } = configDuringUpdate(configured, place);

let now: NonNullable<FromParent['now']> = { role: 'none', isDuplex: false };
const duplex = duplexState();
/** What the core would be. */
function state(): State {
  const isPrimary = now.role === 'primary';
  const partner = { ...statusOf(duplex), proved: now.isDuplex, phase: isPrimary ? ('secondary' as const) : ('duplex' as const) };
  const kind = isPrimary ? (now.isDuplex ? 'duplex' : 'running') : now.isDuplex ? 'secondary' : 'standby';
  const phase = { ...duplex.phase, kind: kind as State['phase']['kind'] };
  return { ...duplex, partner, phase, partnerPromotable: true, audit: { ...duplex.audit, state: 'proven' } };
}

const pair = await startPairUpdate({
  config,
  level: 3,
  place,
  pairKey: Buffer.alloc(32, 9),
  state,
  snapshot: () =>
    ({
      coServer: setup.coServer,
      coServers: [{ name: setup.coServer, role: now.role }],
      workload: { state: 'running' },
      redundancy: now.isDuplex ? 'duplex' : 'simplex',
      redundancySentence: '',
    }) as unknown as Snapshot,
  feed: (event) => {
    if (event.kind === 'operatorRequested' && event.action === 'move-workload') say({ kind: 'move' });
  },
  history: { add: ({ text }) => say({ kind: 'told', text }) },
  given: {
    restartServer: () => say({ kind: 'restartServer' }),
    restartProcess: () => say({ kind: 'restartProcess' }),
    tickMs: TICK_MS,
  },
});

process.on('message', (m: FromParent) => {
  if (m.now) now = m.now;
  if (m.ask) void pair.updater.ask(m.ask, false, 'the test').then((answer) => say({ kind: 'answer', answer }));
});
process.on('disconnect', () => process.exit(0));
say({ kind: 'ready', level: config.workload.level, compatible: config.rejoin.compatibleVersions });
setInterval(() => {
  const { pair: status, partner } = pair.updater.status();
  say({ kind: 'status', state: status?.state ?? null, text: status?.text ?? '', hears: partner !== null });
}, TICK_MS);
// Healthy, when nobody else changes the disk just now.
while (!setup.isBad) {
  await sleep(TICK_MS);
  if (
    await store.markHealthy().then(
      () => true,
      () => false,
    )
  )
    break;
}
