// The product's fencing, run by hand where a CoServer's network is: `fence` switches the partner off, `path` looks once whether it could.
//
//   fence-agent.ts fence|path '{"address", "port", "username", "passwordFile", "cipherSuite"}'     answers one JSON line {"ok", "said", "ms"}
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerConfig } from '../../appliance/config.ts';
import { Fence } from '../../appliance/runtime/effects/fence.ts';
import { partnerPower } from '../../appliance/runtime/effects/partner-power.ts';
import { FencePath } from '../../appliance/runtime/sources/fence-path.ts';
import { carrier } from '../../drivers/ethernet/index.ts';

const [what = '', config = ''] = process.argv.slice(2);
const power = partnerPower(JSON.parse(config) as CoServerConfig['fence']);
const began = performance.now();
const answer = (ok: boolean, said: string) => {
  process.stdout.write(`${JSON.stringify({ ok, said, ms: Math.round(performance.now() - began) })}\n`);
};
if (what === 'fence') {
  const fence = new Fence({ power, carriers: async () => ['link1', 'link2'].map(carrier), now: () => performance.now(), sleep });
  await fence.fence().then(
    (said) => answer(true, said),
    (error: Error) => answer(false, error.message),
  );
} else {
  const path = new FencePath({
    power,
    isPartnerHeard: () => true,
    heardForMs: 800,
    onObserved: (proven, reason) => {
      answer(proven, reason);
      process.exit(0);
    },
  });
  path.start();
}
