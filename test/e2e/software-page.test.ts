// The software in a real browser: real updates, signed, go through the page to a real store on a disk in memory.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import type { UpdatePicture } from '../../appliance/console/update-state.ts';
import { UploadDesk } from '../../appliance/update/upload.ts';
import { type Harness, harness, PASSWORD } from '../unit/appliance/console/api/harness.ts';
import { duplex } from '../unit/appliance/console/fixtures.ts';
import { asking, onTrial, running, sending, stopped } from '../unit/appliance/console/update-fixtures.ts';
import { bundle, Machine, version } from '../unit/appliance/update/machine.ts';
import { buildPage, CHROMIUM, openBrowser, STICKS_OUT } from './browser.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(180_000);

const directory = mkdtempSync(join(tmpdir(), 'co-software-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

/** Where pictures of the page go, for whoever wants to look at it. */
const SHOTS = process.env.TWINSTEP_SHOTS ?? '';

const OLD = version('1.0.0');
const NEW = version('1.2.0', 250_000, 350_000);

/** The desk of an appliance; `hold` keeps the answers to parts back until `release`. */
function deskOf(m: Machine) {
  const restarts: boolean[] = [];
  let why: string | null = 'the workload runs on this CoServer: move it to the other one first';
  let gate = Promise.resolve();
  let release = () => {};
  let reached = () => {};
  class HeldDesk extends UploadDesk {
    /** However fast the line is: the part that is cancelled must not be the last one. */
    override begin(bytes: number, force: boolean, by: string) {
      const answer = super.begin(bytes, force, by);
      return answer.accepted ? { ...answer, detail: { ...answer.detail, partBytes: 128 << 10 } } : answer;
    }

    override async part(id: string, offset: number, data: Buffer) {
      const answer = super.part(id, offset, data);
      if (offset > 0) {
        reached();
        await gate;
      }
      return answer;
    }
  }
  const desk = new HeldDesk({ store: m.store(), whyNotRestart: () => why, prepareRestart: () => () => restarts.push(true), log: () => {} });
  return {
    desk,
    restarts,
    mayRestart: () => {
      why = null;
    },
    /** Resolves when a part waits. */
    hold: () => {
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return new Promise<void>((resolve) => {
        reached = resolve;
      });
    },
    release: () => release(),
  };
}

const file = (name: string, buffer: Buffer) => ({ name, mimeType: 'application/octet-stream', buffer });

t.test('the page of the software', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`, timeout: 180_000 }, async (t) => {
  const machine = Machine.make([OLD], directory);
  const d = deskOf(machine);
  const webRoot = await buildPage(directory);
  const first = { ...duplex(), coServers: duplex().coServers.map((c) => ({ ...c, version: '1.0.0' })) };
  const h: Harness = await harness({ webRoot, updates: d.desk, first });
  t.teardown(() => h.close());
  const context = await openBrowser(directory);
  t.teardown(() => context.close());
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(error.error().message));
  const opened = async (port: number): Promise<Page> => {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(`https://127.0.0.1:${port}/`);
    return page;
  };
  const signIn = async (page: Page): Promise<void> => {
    await page.fill('input[type=password]', PASSWORD);
    await page.keyboard.press('Enter');
    await page.locator('.software').waitFor();
  };
  const signedIn = async (port: number): Promise<Page> => {
    const page = await opened(port);
    await signIn(page);
    return page;
  };
  const page = await signedIn(h.port);
  const card = page.locator('.software');
  const shoot = async (name: string): Promise<void> => {
    if (SHOTS === '') return;
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await card.screenshot({ path: join(SHOTS, `${name}-${colorScheme}.png`) });
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await card.screenshot({ path: join(SHOTS, `${name}-narrow.png`) });
    await page.setViewportSize({ width: 1280, height: 800 });
  };
  const choose = async (name: string, data: Buffer): Promise<void> => {
    await card.locator('input[type=file]').setInputFiles(file(name, data));
    await card.getByRole('button', { name: /^Upload/ }).click();
  };

  await t.test('wrong files are refused in words, and nothing changes', async (t) => {
    await card.getByText('This version was found healthy.').waitFor();
    t.equal(await card.getByRole('button', { name: /^Upload/ }).isEnabled(), false, 'no file is chosen');
    const foreign = generateKeyPairSync('ed25519').privateKey;
    await choose('forged.update', bundle(NEW, { key: foreign }));
    await card.getByText(/Not installed: .*not signed by a key/).waitFor();
    t.equal(await card.getByRole('button', { name: 'Install it all the same' }).count(), 0, 'no force against a signature');
    await shoot('signature');
    await choose('photo.update', Buffer.alloc(30_000, 'PK'));
    await card.getByText(/Not installed: .*no update of Twinstep/).waitFor();
    await choose('cut.update', bundle(NEW).subarray(0, 450_000));
    await card.getByText(/Not installed: .*ends after \d+ bytes, in the middle of its slot/).waitFor();
    t.match(await d.desk.status(), { version: '1.0.0', next: '1.0.0', received: null, isBusy: false });
  });

  await t.test('cancelled in the middle; another console sees that it goes on', async (t) => {
    const waits = d.hold();
    await choose('twinstep-1.2.0.update', bundle(NEW));
    await waits;
    await card.getByText('Uploading').waitFor();
    t.match(await card.locator('.transfer').textContent(), /Sent\s*21 %\s*131 kB of 60\d kB/);
    await shoot('uploading');
    const other = await opened(h.port);
    await other
      .locator('.software')
      .getByText(/Another upload goes on, from the web console, 127\.0\.0\.1/)
      .waitFor();
    await other.close();
    d.release();
    const again = d.hold();
    await again;
    await card.getByRole('button', { name: 'Cancel' }).click();
    await card.getByText('Cancelled. What runs stays').waitFor();
    d.release();
    t.match(await d.desk.status(), { version: '1.0.0', next: '1.0.0', received: null, isBusy: false, upload: null });
    t.equal(await card.getByRole('button', { name: /^Upload/ }).isEnabled(), true, 'the next one may begin at once');
  });

  await t.test('installed; a restart is refused with its reason, then forced by its word', async (t) => {
    await choose('twinstep-1.2.0.update', bundle(NEW));
    await card.getByText('Version 1.2.0 is installed: it is tried at the next start of this server.').waitFor();
    await page.getByRole('heading', { name: 'Software: version 1.0.0, then 1.2.0' }).waitFor();
    t.match(await d.desk.status(), { version: '1.0.0', next: '1.2.0' });
    await shoot('installed');
    const restart = card.getByRole('button', { name: /Restart this server|Press again: restart/ });
    await restart.click();
    await restart.click();
    await card.getByText('the workload runs on this CoServer: move it').first().waitFor();
    await page
      .locator('.notices')
      .getByText(/Restart this server \(A\): This server is not started again/)
      .waitFor();
    await card.getByRole('button', { name: 'Restart this server (A) …' }).click();
    const dialog = page.getByRole('dialog');
    t.match(await dialog.textContent(), /the workload runs on this CoServer[\s\S]*type the word force/);
    if (SHOTS !== '') await page.screenshot({ path: join(SHOTS, 'force.png') });
    t.equal(d.restarts.length, 0);
    await dialog.getByRole('textbox').fill('force');
    await dialog.getByRole('button', { name: 'Restart this server (A)' }).click();
    await page.locator('.notices').getByText('accepted').waitFor();
    t.equal(d.restarts.length, 1);
  });

  await t.test('after the restart it is on trial, then good; going back is asked for twice; an older one needs force', async (t) => {
    await machine.start();
    const after = deskOf(machine);
    const h2 = await harness({ webRoot, updates: after.desk });
    t.teardown(() => h2.close());
    const page = await signedIn(h2.port);
    const card = page.locator('.software');
    await page.getByRole('heading', { name: 'Software: version 1.2.0, on trial' }).waitFor();
    t.equal(await card.locator('input[type=file]').isEnabled(), false);
    if (SHOTS !== '') await card.screenshot({ path: join(SHOTS, 'trial.png') });
    await machine.store().markHealthy();
    await page.getByRole('heading', { name: /Software: version 1\.2\.0$/ }).waitFor();
    await card.locator('input[type=file]').setInputFiles(file('twinstep-0.9.0.update', bundle(version('0.9.0'))));
    await card.getByRole('button', { name: /^Upload/ }).click();
    await card.getByText(/0\.9\.0 is older than 1\.2\.0/).waitFor();
    t.equal(await card.getByRole('button', { name: 'Install it all the same' }).count(), 1);
    const back = card.getByRole('button', { name: /Go back to 1\.0\.0|Press again: go back/ });
    await back.click();
    t.match(await after.desk.status(), { next: '1.2.0' }, 'one press does nothing');
    await back.click();
    await page.getByRole('heading', { name: 'Software: version 1.2.0, then 1.0.0' }).waitFor();
    t.match(await after.desk.status(), { next: '1.0.0' });
    await card.getByRole('button', { name: 'Install it all the same' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox').fill('force');
    await dialog.getByRole('button', { name: 'Install it all the same' }).click();
    await card.getByText('Version 0.9.0 is installed').waitFor();
    t.match(await after.desk.status(), { next: '0.9.0' });
    await page.close();
  });

  await t.test('the pair: begun, sent, asked about the guest, stopped, and every picture fits', async (t) => {
    let picture: UpdatePicture = running({ other: { version: '1.2.0', isUsable: true, text: 'it has not run yet' }, next: '1.2.0' });
    const asked: unknown[] = [];
    await page.route('**/api/update', (route) =>
      route.request().method() === 'GET' ? route.fulfill({ json: picture }) : route.continue(),
    );
    await page.route('**/api/update/pair', (route) => {
      const body: { action: string } = route.request().postDataJSON();
      asked.push(body, route.request().headers()['x-twinstep-console']);
      picture =
        body.action === 'start' ? sending() : body.action === 'allowRestart' ? { ...asking(), pair: sending().pair ?? null } : stopped();
      return route.fulfill({ json: { accepted: true } });
    });
    // The other server's cookie has the same name.
    await page.reload();
    await signIn(page);
    const begin = card.getByRole('button', { name: /Update the pair to 1\.2\.0|Press again: update the pair/ });
    await begin.click();
    await begin.click();
    await card.getByText('is on its way to CoServer B').waitFor();
    t.match(await card.locator('.transfer').textContent(), /Sent\s*50 %\s*95 MB of 190 MB, 19 MB\/s, 5 s left/);
    await shoot('sending');
    picture = asking();
    await card.getByText('waits for a decision').waitFor();
    await shoot('asking');
    await card.getByRole('button', { name: 'Let vm1 restart …' }).click();
    t.match(await page.getByRole('dialog').textContent(), /The guest vm1 is shut down and started again, once, and its clients notice/);
    await page.getByRole('dialog').getByRole('textbox').fill('restart');
    await page.getByRole('dialog').getByRole('button', { name: 'Let vm1 restart' }).click();
    await card.getByText('is on its way to CoServer B').waitFor();
    const stop = card.getByRole('button', { name: /Stop the update of the pair|Press again: stop/ });
    await stop.click();
    await stop.click();
    await card.getByText('has stopped').waitFor();
    await shoot('stopped');
    t.strictSame(asked, [{ action: 'start' }, '1', { action: 'allowRestart', mayRestartGuest: true }, '1', { action: 'stop' }, '1']);
    const word = 'x'.repeat(200);
    const long = {
      ...stopped(),
      version: word,
      next: word,
      other: { version: word, isUsable: false, text: word },
      partner: { version: word, onTrial: true, received: word, givenUp: word },
    };
    for (const shown of [running(), sending(), asking(), stopped(), onTrial(), long]) {
      picture = shown;
      await page.reload();
      await card
        .getByText(shown === long ? word : shown.version)
        .first()
        .waitFor();
      for (const width of [1280, 390, 320]) {
        await page.setViewportSize({ width, height: 844 });
        t.equal(await page.evaluate(STICKS_OUT), '', `${width}`);
      }
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  await t.test('where no image was started the page says so', async (t) => {
    await page.unroute('**/api/update');
    await page.route('**/api/update', (route) =>
      route.fulfill({ status: 404, json: { accepted: false, reason: 'There is nothing at this address.' } }),
    );
    await page.reload();
    await card.getByText('This CoServer was not started from an appliance image').waitFor();
    t.equal(await card.getByRole('button').count(), 0);
    await shoot('none');
  });
  t.strictSame(complaints, [], 'no script error');
});
