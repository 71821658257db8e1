// The settings in a real browser, changed by the process's own rules on real files.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { hashPassword } from '../../appliance/console/api/index.ts';
import type { State } from '../../appliance/core/machine.ts';
import { loadConfig, parseConfig } from '../../appliance/runtime/load-config.ts';
import { Settings } from '../../appliance/settings/index.ts';
import { type Answer, call, type Harness, harness, post } from '../unit/appliance/console/api/harness.ts';
import { configured, stateOf } from '../unit/appliance/settings/some-config.ts';
import { buildPage, CHROMIUM, openBrowser, STICKS_OUT } from './browser.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(180_000);

const directory = mkdtempSync(join(tmpdir(), 'co-settings-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
/** Where pictures of the page go, for whoever wants to look at it. */
const SHOTS = process.env.TWINSTEP_SHOTS ?? '';
const OLD = 'lamp-river-cheese';
const NEW = 'bottle-cloud-seven';

t.test('the page of the settings', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`, timeout: 180_000 }, async (t) => {
  const folder = join(directory, 'state');
  mkdirSync(folder);
  const passwordHash = await hashPassword(OLD);
  const { config, file } = configured(folder, passwordHash);
  mkdirSync(config.stateDir, { recursive: true });
  let state: State = stateOf('A');
  let setPassword: Harness['server']['setPassword'] = () => {};
  const restarts: string[] = [];
  const settings = new Settings({
    config,
    configFile: file,
    problemOf: (text) => (parseConfig(text, file) ? null : ''),
    state: () => state,
    whyBusy: () => '',
    levelAtStart: (level) => level,
    readBmc: async () => {
      throw new Error('no answer within 5 s');
    },
    tell: () => {},
    changed: () => {},
    say: () => {},
    takePassword: (hash, session) => setPassword(hash, session ?? ''),
    takeWitness: () => {},
    takePeer: () => {},
    restart: (why) => restarts.push(why),
    firstNumber: 0,
  });
  const webRoot = await buildPage(directory);
  const h = await harness({ webRoot, settings, passwordHash });
  setPassword = h.server.setPassword;
  t.teardown(() => h.close());
  const context = await openBrowser(directory);
  t.teardown(() => context.close());
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(error.error().message));
  const page: Page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`https://127.0.0.1:${h.port}/`);
  await page.fill('input[type=password]', OLD);
  await page.keyboard.press('Enter');
  await page.locator('.settings li').first().waitFor();
  const card = page.locator('.settings');
  const dialog = page.getByRole('dialog');
  const shoot = async (name: string, what = card): Promise<void> => {
    if (SHOTS === '') return;
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await what.screenshot({ path: join(SHOTS, `${name}-${colorScheme}.png`) });
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await what.screenshot({ path: join(SHOTS, `${name}-narrow.png`) });
    await page.setViewportSize({ width: 1280, height: 800 });
  };

  await t.test('what holds, what cannot be changed now, and no secret', async (t) => {
    await shoot('settings');
    t.match(await card.textContent(), /192\.0\.2\.21\/24, router 192\.0\.2\.1\./);
    t.match(await card.textContent(), /192\.0\.2\.12, user twinstep, cipher suite 17/);
    t.equal(await card.getByRole('button', { name: 'Change: Witness' }).isEnabled(), false);
    t.match(await card.textContent(), /CoServer B is not heard: both change their witness together/);
    t.notMatch(await page.content(), /argon2|old-bmc/);
    for (const width of [1280, 390, 320]) {
      await page.setViewportSize({ width, height: 844 });
      t.equal(await page.evaluate(STICKS_OUT), '', `${width}`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  await t.test('a BMC that does not answer: said, then done all the same', async (t) => {
    state = { ...state, phase: { ...state.phase, kind: 'running' } };
    await card.getByRole('button', { name: /Change: BMC of CoServer B/ }).click();
    await dialog.getByLabel('Its address').fill('bmc.example');
    await dialog.getByRole('button', { name: 'Change it' }).click();
    await dialog.getByText("The address of the other server's BMC is needed").waitFor();
    await dialog.getByLabel('Its address').fill('192.0.2.13');
    t.equal(await dialog.getByRole('alert').count(), 0, 'what was refused is another thing now');
    await dialog.getByLabel('Its password').fill('hush');
    await dialog.getByLabel('Its cipher suite').selectOption('3');
    await dialog.getByRole('button', { name: 'Change it' }).click();
    await dialog.getByText(/does not answer so: no answer within 5 s.*runs here alone, so it stands still/).waitFor();
    await shoot('refused', dialog);
    t.equal(loadConfig(file).fence.address, '192.0.2.12');
    await dialog.getByRole('button', { name: 'Change nothing' }).click();
    await dialog.waitFor({ state: 'detached' });
    t.equal(loadConfig(file).fence.address, '192.0.2.12');
  });

  await t.test('a new password: this page stays, another one is signed out, the old password lets nobody in', async (t) => {
    const cookieOf = (answer: Answer): string => answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const elsewhere = (password: string) => call(h.port, post('/api/login', { password }));
    const cookie = cookieOf(await elsewhere(OLD));
    const looks = () => call(h.port, { path: '/api/settings', headers: { cookie } });
    t.equal((await looks()).status, 200);
    await card.getByRole('button', { name: "Change: The administrator's password" }).click();
    for (const [label, value] of [
      ['The present password', OLD],
      ['The new one', NEW],
      ['The new one again', NEW],
    ] as const)
      await dialog.getByLabel(label, { exact: true }).fill(value);
    await shoot('password', dialog);
    await dialog.getByRole('button', { name: 'Change it' }).click();
    await card.getByText(/The new password counts\. On this CoServer only \(B: it is not heard\)/).waitFor();
    await shoot('told');
    t.equal((await looks()).status, 401);
    t.equal((await elsewhere(OLD)).status, 401);
    t.equal((await elsewhere(NEW)).status, 200);
    await page.reload();
    await card.locator('li').first().waitFor();
    t.equal(await page.locator('input[type=password]').count(), 0, 'this page is still signed in');
    t.not(loadConfig(file).console.passwordHash, passwordHash);
    t.notMatch(h.log.join(), new RegExp(`${OLD}|${NEW}|hush|argon2`));
  });

  await t.test('a management address: where the console will be is said, and stays on the page', async (t) => {
    await card.getByRole('button', { name: 'Change: Address in the network of the operators' }).click();
    await dialog.getByLabel('Address of this server').fill('192.0.2.31/24');
    await dialog.getByRole('button', { name: 'Change it' }).click();
    await dialog.getByText(/runs here alone/).waitFor();
    await dialog.getByRole('button', { name: 'Do it all the same' }).click();
    await card.getByText(/within two minutes that the address is to stay; otherwise 192\.0\.2\.21\/24 comes back by itself/).waitFor();
    t.equal(await card.getByRole('link', { name: 'https://192.0.2.31/' }).getAttribute('href'), 'https://192.0.2.31/');
    t.match(readFileSync(join(folder, 'nics'), 'utf8'), /192\.0\.2\.31\/24 192\.0\.2\.1/);
    t.strictSame(restarts, ['the management address was changed']);
  });
  t.strictSame(complaints, [], 'no script error');
});
