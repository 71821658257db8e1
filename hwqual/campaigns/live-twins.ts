// `npm run lab:live-twins`: boots two whole machines with the product and the tiny guest, and goes through live-twins-campaign.ts with them.
import { parseArgs } from 'node:util';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { TinyClient } from '../lab/guest/tiny/client.ts';
import { LabError, messageOf } from '../lab/lab-error.ts';
import { DEFAULT_WORKLOAD } from '../lab/machines/configuration.ts';
import { insideRack } from '../lab/machines/enter.ts';
import { holdMachines } from '../lab/machines/holder.ts';
import { Rack } from '../lab/machines/rack.ts';
import { machinesSettings } from '../lab/machines/settings.ts';
import { mismatched, TWIN } from '../lab/machines/spec.ts';
import { requireRoot } from '../lab/prepare.ts';
import { ADDRESSES } from '../lab/settings.ts';
import { say } from './campaign-command.ts';
import { ConsoleClient } from './console-client.ts';
import { LIVE_STAGES, LiveTwins } from './live-twins-campaign.ts';
import { MachineWatch } from './machine-watch.ts';

const HELP = `npm run lab:live-twins -- [--level 2|3] [--stages NAME,NAME] [--limit MINUTES] [--instance X] [--port N]

  --stages   of ${LIVE_STAGES.join(', ')}; each needs those before it
  --limit    for each step; default 20
`;
const WEB_PORT = 443;
/** Each look is a handshake and a page for an emulated server that has other things to do. */
const LOOK_MS = 10_000;
const DEFAULT_LIMIT_MINUTES = 20;
const BOOT_TIMEOUT_MS = 600_000;
const HANDS_TIMEOUT_MS = 300_000;
/** Set for the part of this program that runs inside the rack. */
const INSIDE = 'TWINSTEP_MACHINES_INSIDE';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      level: { type: 'string', default: '3' },
      stages: { type: 'string', default: LIVE_STAGES.join(',') },
      limit: { type: 'string', default: String(DEFAULT_LIMIT_MINUTES) },
      instance: { type: 'string' },
      port: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  requireRoot();
  const level = values.level === '2' ? 2 : values.level === '3' ? 3 : null;
  const stages = LIVE_STAGES.filter((stage) => values.stages.split(',').includes(stage));
  const limitMinutes = Number(values.limit);
  if (level === null || stages.length !== values.stages.split(',').length || !(limitMinutes > 0)) throw new LabError(HELP);
  const settings = machinesSettings({
    ...(values.instance === undefined ? {} : { instance: values.instance }),
    ...(values.port === undefined ? {} : { webPort: Number(values.port) }),
  });
  if (process.env[INSIDE] !== settings.instance) {
    await new Rack(settings).sweep();
    process.env[INSIDE] = settings.instance;
  }
  if (!(await insideRack(settings, engineRootPath()))) return;
  const options = { power: true, runsProduct: true, workload: { ...DEFAULT_WORKLOAD, level } as const };
  const { lab, gone, takeDown } = await holdMachines(settings, { A: TWIN, B: TWIN }, options, say);
  const { password } = lab.secrets;
  const console = (server: CoServerName) => new ConsoleClient({ address: ADDRESSES.management[server], port: WEB_PORT, password });
  const consoles = { A: console('A'), B: console('B') };
  const watch = new MachineWatch(
    { snapshot: (server) => consoles[server].snapshot() },
    (entry) => say(`  ${entry.coServer} ${entry.row === null ? '' : `[${entry.row}] `}${entry.text}`),
    LOOK_MS,
  );
  watch.start();
  // Whoever waits for something is told that it does not come.
  void gone.then(() => watch.stop());
  const campaign = new LiveTwins({
    watch,
    guest: new TinyClient(),
    inject: async (fault, server) => say(`${fault} on ${server}: ${(await lab.inject(fault, server)).how}`),
    clear: async (fault, server) => say(`${fault} on ${server}: ${await lab.clear({ fault, server })}`),
    replaceByMismatch: async (server, what) => {
      say(`another machine in the place of ${server}: it differs in ${what}`);
      await lab.replace(server, mismatched(TWIN, what));
      await lab.power(server).on();
      await lab.booted(server, BOOT_TIMEOUT_MS);
    },
    setLevel: async (server, to) => {
      // As an operator does it; the product's init starts it again.
      const command = `sed -i 's/^  level: [23]$/  level: ${to}/' /etc/twinstep/config.yaml && kill $(pidof node) && grep 'level:' /etc/twinstep/config.yaml`;
      say(`${server}: ${(await lab.machine(server).hands.ask(command, HANDS_TIMEOUT_MS)).output.trim()}`);
    },
    say,
    limitMs: limitMinutes * 60_000,
  });
  try {
    await campaign.run(stages, level);
    say('');
    for (const { step, seconds, seen } of campaign.steps)
      say(`${seconds === null ? 'NOT SEEN' : `${seconds} s`.padStart(8)}  ${step}: ${seen}`);
    if (!campaign.isWhole) process.exitCode = 1;
  } finally {
    await watch.stop();
    await takeDown();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
