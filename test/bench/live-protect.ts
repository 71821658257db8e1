// How often is a page lost when a busy guest is protected WITHOUT stopping it first? A campaign with the audit on, under emulation.
//
// npm run lab:live-protect -- [--rounds N] [--minutes M] [--stopped] [--cpus N] [--takeover N]
// Each round protects a guest that changes its memory as fast as it can, makes some checkpoints (every page of both sides is compared at
// each stop, and of the primary before it starts), and then either lets the secondary go, or (every third: --takeover 3) lets it take over and watches whether it lives. `--stopped`: the
// control group, as the product does it. Needs root and the engine's root. Exit code 0: nothing was lost.
import { parseArgs } from 'node:util';
import { hasEngine, MemoryLab, type Side } from '../integration/memory-lab.ts';

const CHECKPOINTS = 8;
/** All of a 96 MiB guest takes 50-100 ms, on a busy machine some times that: each stop is a whole round. */
const AUDIT_MS = 20_000;
/** Of a broken guest's console. */
const CONSOLE_TAIL = 3_000;
/** A guest that took over must count so far. */
const COUNTS_ALIVE = 10;

interface Tally {
  rounds: number;
  lossRounds: number;
  lostPages: number;
  secondaryPages: number;
  takeovers: number;
  broken: number;
  notProtected: number;
}

interface Difference {
  side: string;
  page: number;
  sinceInterval: number;
  interval: number;
}

function differences(side: Side): Difference[] {
  return side.events.filter((e) => e.name === 'pageDiffers').map((e) => e.data as Difference);
}

async function lives(side: Side): Promise<string> {
  const counted = side.count;
  try {
    await side.until('the guest counts on', () => side.count > counted + COUNTS_ALIVE || /panic|BUG|Oops|BAD/.test(side.serial), 30_000);
  } catch {
    return 'hangs';
  }
  const said = side.serial.split('\n').find((line) => /panic|BUG|Oops|BAD/.test(line));
  return said ? `says '${said.trim()}'` : '';
}

async function round(lab: MemoryLab, live: boolean, takeOver: boolean, tally: Tally): Promise<void> {
  const [a, b] = [lab.a, lab.b];
  const { pauseMs, totalMs } = await lab.protect(a, b, { live });
  for (let i = 0; i < CHECKPOINTS; i++) await lab.checkpoint(a);
  const [audited, auditedB] = await Promise.all([a.memory.call('status', {}), b.memory.call('status', {})]);
  const lost = audited.audit?.differing ?? 0;
  tally.lostPages += lost;
  tally.secondaryPages += auditedB.audit?.differing ?? 0;
  if (lost > 0) tally.lossRounds++;
  let fate = '';
  if (takeOver) {
    tally.takeovers++;
    await a.powerOff();
    await lab.takeOver(b);
    fate = await lives(b);
    if (fate) {
      tally.broken++;
      console.log(b.serial.slice(-CONSOLE_TAIL));
    }
  }
  const first = [...differences(a), ...differences(b)].map(
    (d) => `${d.side} page ${d.page}, sent in ${d.sinceInterval}, seen at ${d.interval}`,
  );
  const compared = `${audited.audit?.checkedPages} + ${auditedB.audit?.checkedPages} pages compared`;
  const notes = [`${lost} differ at A`, `${auditedB.audit?.differing} at B`, ...first, takeOver ? `takeover ${fate || 'lives'}` : ''];
  console.log(
    `round ${tally.rounds}: ${live ? 'live' : 'stopped'} ${pauseMs.toFixed(0)} of ${totalMs.toFixed(0)} ms; ${compared}; ${notes.filter(Boolean).join('; ')}`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '40' },
      minutes: { type: 'string', default: '60' },
      cpus: { type: 'string', default: '1' },
      takeover: { type: 'string', default: '3' },
      stopped: { type: 'boolean', default: false },
    },
  });
  if (!hasEngine) throw new Error('needs root and the engine root: npm test prepares it');
  const deadline = performance.now() + Number(values.minutes) * 60_000;
  const tally: Tally = { rounds: 0, lossRounds: 0, lostPages: 0, secondaryPages: 0, takeovers: 0, broken: 0, notProtected: 0 };
  const openLab = async () => {
    const lab = new MemoryLab({ auditMs: AUDIT_MS, append: 'bulk', cpus: Number(values.cpus) });
    await lab.boot();
    return lab;
  };
  let lab = await openLab();
  while (tally.rounds < Number(values.rounds) && performance.now() < deadline) {
    tally.rounds++;
    const takeOver = tally.rounds % Number(values.takeover) === 0;
    let fresh = takeOver;
    try {
      await round(lab, !values.stopped, takeOver, tally);
      if (!takeOver) {
        await lab.b.powerOff();
        await lab.goOnAlone(lab.a);
        lab.replace('B');
      }
    } catch (error) {
      tally.notProtected++;
      fresh = true;
      console.log(`round ${tally.rounds}: ${(error as Error).message}`);
    }
    if (fresh) {
      await lab.end();
      lab = await openLab();
    }
  }
  await lab.end();
  console.log(JSON.stringify(tally));
  process.exitCode = tally.lostPages + tally.secondaryPages + tally.broken > 0 ? 1 : 0;
}

await main();
