// The hardware in a real browser: a picture with faults, and this very machine, read by the thread that a CoServer has for it.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { initialState } from '../../appliance/core/machine.ts';
import { FRESH_RECORD } from '../../appliance/core/record.ts';
import { Figures } from '../../appliance/runtime/figures.ts';
import { History } from '../../appliance/runtime/history.ts';
import { lifeOf } from '../../appliance/runtime/life.ts';
import { parseConfig } from '../../appliance/runtime/load-config.ts';
import { HardwareWatch } from '../../appliance/runtime/sources/hardware.ts';
import { hardwareSetup } from '../../appliance/runtime/worker-setups.ts';
import { type Harness, harness, PASSWORD } from '../unit/appliance/console/api/harness.ts';
import { hardwareTroubled, notWatched, withHardware } from '../unit/appliance/console/hardware-fixtures.ts';
import { buildPage, CHROMIUM, openBrowser, STICKS_OUT } from './browser.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

const directory = mkdtempSync(join(tmpdir(), 'co-hardware-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

/** Where pictures of the page go, for whoever wants to look at it. */
const SHOTS = process.env.TWINSTEP_SHOTS ?? '';

const CONFIG = `
coServer: A
pair: { id: 00112233445566778899aabbccddeeff, keyFile: /nowhere }
links: [{ nic: lo, address: 10.76.1.1, peer: 10.76.1.2 }]
business: { nic: unplugged0 }
management: { nic: lo, address: 10.78.0.1 }
hardware: { watch: 'on', bmc: '' }
witness: { address: 10.78.0.100, port: 7410 }
heartbeat: { intervalMs: 20, timeoutMs: 300 }
checkpoint: { mode: passive, hold: { dataMs: 25, ackMs: 100 }, outputDelayMs: 5, idleMs: 1000, minimumMs: 20 }
console: { port: 443, passwordHash: '', socket: /nowhere, serial: '', urls: { A: '', B: '' } }
stateDir: /nowhere
runDir: /nowhere
labSocket: ''
engine: { binary: /nowhere, version: '11.1', acceleration: tcg, logDir: /nowhere }
workload:
  { name: demo, memoryMiB: 256, cpus: 1, mac: '52:54:00:77:00:0a', disk: { path: /d, sizeMiB: 64 }, kernel: /k, initrd: /i, append: '', readyMarker: '', bootTimeoutS: 60 }
`;

/** What a CoServer on this machine would show: the real thread, the real figures. */
async function thisMachine(t: { teardown: (fn: () => unknown) => void }) {
  const config = parseConfig(CONFIG, 'test');
  const setup = hardwareSetup(config);
  const script = new URL('../../appliance/main.ts', import.meta.url);
  let raised: () => void = () => undefined;
  const faults = new Promise<void>((resolve) => {
    raised = resolve;
  });
  let state = initialState(
    lifeOf({ config, version: '0.0.0', incarnation: 'a1', record: FRESH_RECORD, adoptable: false, now: performance.now() }),
  );
  const watch = new HardwareWatch({
    script,
    setup,
    onFaults: (now) => {
      state = { ...state, faults: now };
      if (now.some((f) => f.code === 'nicDown')) raised();
    },
    now: () => performance.now(),
  });
  const figures = new Figures(config, await History.open(join(directory, 'history.jsonl'), 'A', () => undefined));
  figures.hardware = watch;
  watch.start();
  t.teardown(() => watch.stop());
  return { snapshot: () => figures.snapshot(state), faults };
}

t.test('the page of the hardware', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`, timeout: 120_000 }, async (t) => {
  const h: Harness = await harness({ webRoot: await buildPage(directory), first: hardwareTroubled() });
  t.teardown(() => h.close());
  const context = await openBrowser(directory);
  t.teardown(() => context.close());
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(error.error().message));
  const page = await context.newPage();
  await page.goto(`https://127.0.0.1:${h.port}/`);
  await page.fill('input[type=password]', PASSWORD);
  await page.keyboard.press('Enter');
  const card = page.locator('.hardware');
  await card.waitFor();
  const shoot = async (name: string, what = card): Promise<void> => {
    if (SHOTS !== '') await what.screenshot({ path: join(SHOTS, `${name}.png`) });
  };

  await t.test('a fault: where it sits and what to replace; evidence unfolds; it goes when it is over', async (t) => {
    const fault = card.locator('.faults > li').first();
    t.match(
      await fault.textContent(),
      /CoServer A: a fan has failed[\s\S]*WhereFAN2[\s\S]*What to doReplace the fan\.[\s\S]*moves to B before the part fails/,
    );
    const before = page.getByText('600 RPM, too low, critical');
    t.equal(await before.isVisible(), false);
    await page.getByText('What was read before').click();
    await before.waitFor();
    t.match(await card.textContent(), /says that it fails, 31 C[\s\S]*no carrier, 12 damaged frames[\s\S]*S411795X2A03412/);
    t.equal(await page.getByText('must be the same: it sets up the processor').isVisible(), true, 'what differs is unfolded');
    const attention = page.getByRole('region', { name: 'What needs you' });
    t.match(await attention.textContent(), /CoServer A: a fan has failed[\s\S]*Replace the fan\./);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 844 });
        t.equal(await page.evaluate(STICKS_OUT), '', `${colorScheme}, ${width}`);
        await shoot(`troubled-${colorScheme}-${width}`);
        await shoot(`attention-${colorScheme}-${width}`, attention);
      }
    }
    h.set(withHardware());
    await page.getByRole('heading', { name: 'Hardware: well' }).waitFor();
    t.equal(await card.locator('.faults').count(), 0);
    await page.setViewportSize({ width: 1280, height: 800 });
    await shoot('well');
    h.set(notWatched());
    await page.getByText('Nobody watches the hardware of CoServer A').waitFor();
    await shoot('not-watched');
  });

  await t.test('this machine, read by the thread itself', async (t) => {
    const machine = await thisMachine(t);
    t.match(machine.snapshot().hardware, { watched: true, reason: 'nothing was read yet', sources: [], server: null });
    const seen = setInterval(() => h.set(machine.snapshot()), 200);
    t.teardown(() => clearInterval(seen));
    // A port that is not there has no carrier: the second reading of it makes a fault of that.
    await machine.faults;
    await card.getByText('a network port has no carrier').waitFor();
    await card.getByText('business, no carrier').waitFor();
    await card.getByText('not read: none is configured (hardware.bmc)').waitFor();
    const text = (await card.textContent()) ?? '';
    t.match(text, /Whereunplugged0[\s\S]*What to doPlug the cable in/);
    t.match(text, /lolink of the pair, connected/);
    t.match(text, /Disk latencyread within the last minute/);
    t.match(text, /This serverServer[\s\S]*Processor\S/);
    const { hardware } = machine.snapshot();
    t.ok(hardware?.server?.memoryBytes, 'the summary was read in the thread');
    t.ok(
      hardware?.sources.every((s) => s.state !== 'absent' || s.reason !== ''),
      'what is not there says why',
    );
    const since = hardware?.faults[0]?.since ?? 0;
    t.ok(Math.abs(Date.now() - since) < 60_000, 'since when, by the wall clock');
    await shoot('this-machine');
  });
  t.strictSame(complaints, [], 'no script error');
});
