// The first start of two servers in a real browser, a window for each: from the code on the screen to what is written. The dialogues, pages, server and
// browser are real; ports, pairing and the other server's words are those of the unit tests.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { parseConfig } from '../../appliance/runtime/load-config.ts';
import type { SetupForm, WebAccess } from '../../appliance/setup/state.ts';
import { WebAccessHost } from '../../appliance/setup/web-access.ts';
import { setupView } from '../../appliance/setup/web-view.ts';
import { freePort } from '../unit/appliance/console/api/harness.ts';
import { Dialogue, look } from '../unit/appliance/setup/two-dialogues.ts';
import { buildPage, CHROMIUM, openBrowser, STICKS_OUT } from './browser.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(240_000);

const directory = mkdtempSync(join(tmpdir(), 'co-first-start-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
/** Where pictures of the pages go, for whoever wants to look at them. */
const SHOTS = process.env.TWINSTEP_SHOTS ?? '';
const PASSWORD = 'lamp-river-cheese';

/** A server that is set up: its dialogue, and a browser's window on it. */
class Host {
  readonly dialogue: Dialogue;
  readonly log: string[] = [];
  readonly #listeners = new Set<() => void>();
  afterForm: () => void = () => undefined;

  constructor(letter: string) {
    this.dialogue = new Dialogue(letter);
  }

  view() {
    return setupView(this.dialogue.state, this.dialogue.facts);
  }

  form(form: SetupForm): boolean {
    if (form.page !== this.dialogue.state.page) return false;
    this.dialogue.feed({ kind: 'form', form });
    this.afterForm();
    return true;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  nics() {
    return this.dialogue.facts.nics;
  }

  setWeb(web: WebAccess): void {
    this.dialogue.facts = { ...this.dialogue.facts, web };
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

t.test('first start', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`, timeout: 240_000 }, async (t) => {
  const hosts = [new Host('a'), new Host('b')] as const;
  const [a, b] = hosts;
  const both = (): void => {
    look(a.dialogue, b.dialogue);
    for (const host of hosts) host.changed();
  };
  for (const host of hosts) host.afterForm = both;
  const webRoot = await buildPage(directory, 'setup');
  for (const host of hosts) {
    const place = { fixed: { address: '127.0.0.1', port: await freePort() } };
    const access = new WebAccessHost({ host, place, webRoot, runFolder: directory, log: (line) => host.log.push(line) });
    await access.start();
    t.teardown(() => access.close());
  }
  both();
  const context = await openBrowser(directory);
  t.teardown(() => context.close());
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(error.error().message));

  const shown = new Set<string>();
  const shoot = async (page: Page, name: string): Promise<void> => {
    for (const width of [1280, 390, 320]) {
      await page.setViewportSize({ width, height: 844 });
      t.equal(await page.evaluate(STICKS_OUT), '', `${name} fits ${width}`);
      if (SHOTS !== '' && width !== 320) await page.screenshot({ path: join(SHOTS, `first-start-${name}-${width}.png`), fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 844 });
    if (SHOTS !== '') {
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.screenshot({ path: join(SHOTS, `first-start-${name}-dark.png`), fullPage: true });
      await page.emulateMedia({ colorScheme: 'light' });
    }
    shown.add(await page.content());
  };
  const open = async (host: Host): Promise<Page> => {
    const [, url = '', code = ''] = /in a browser: (https:\S+), with the code ([0-9a-z-]+)\./.exec(host.dialogue.text()) ?? [];
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(url);
    await page.getByLabel(/Code on its screen/).fill('0000-0000');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Wrong code.').waitFor();
    if (host === a) await shoot(page, '0-code');
    await page.getByLabel(/Code on its screen/).fill(code.toUpperCase().replace('-', ' '));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Which server is this?' }).waitFor();
    return page;
  };
  const [onA, onB] = [await open(a), await open(b)];
  t.notMatch(await onA.content(), /with the code/, 'the code is on the consoles only');

  const at = (page: Page, title: string) => page.getByRole('heading', { name: title }).waitFor();
  const goOn = (page: Page) => page.getByRole('button', { name: 'Go on' }).click();

  await t.test('ports and cables', async (t) => {
    for (const [page, name] of [
      [onA, 'CoServer A'],
      [onB, 'CoServer B'],
    ] as const) {
      await page.getByLabel(name).check();
      if (page === onA) await shoot(page, '1-server');
      await goOn(page);
      await at(page, 'Network ports');
      if (page === onA) {
        await page.getByLabel('4', { exact: true }).selectOption('not used');
        await goOn(page);
        await page
          .getByRole('status')
          .getByText(/management/)
          .waitFor();
        t.equal(a.dialogue.state.page, 'ports');
        await shoot(page, '2-ports');
        await page.getByLabel('4', { exact: true }).selectOption('management');
      }
      await goOn(page);
      await at(page, 'Cables');
    }
    // A cable is pulled, and put back: seen without asking.
    a.dialogue.hears(b.dialogue, [
      [1, 1],
      [2, 2],
    ]);
    look(a.dialogue, b.dialogue, [
      [1, 2],
      [2, 1],
      [3, 3],
      [4, 4],
    ]);
    a.changed();
    await onA.getByText(/Crossed: port 1 here is connected to port 2 there/).waitFor();
    await shoot(onA, '3-cables-crossed');
    both();
    await onA
      .getByText(/Crossed/)
      .first()
      .waitFor({ state: 'detached' });
    for (const page of [onA, onB]) {
      await page.getByText(/Link 2: port 2 here is connected to port 2 there/).waitFor();
      await goOn(page);
      await at(page, 'Pairing');
    }
  });

  await t.test('pairing by the code', async () => {
    for (const { dialogue } of hosts) dialogue.pairing({ phase: 'code', code: '123456', sentence: 'Both show the code 123456.' });
    both();
    await onA.getByText('123 456').waitFor();
    await shoot(onA, '4-pairing');
    for (const page of [onA, onB]) {
      await page.getByLabel('yes, the same').check();
      await goOn(page);
    }
    for (const host of hosts) t.ok(host.dialogue.duties.some((d) => d.kind === 'confirm' && d.code === '123456'));
    for (const { dialogue } of hosts) dialogue.pairing({ phase: 'paired', sentence: 'Paired.', fingerprint: '1a2b-3c4d-5e6f' });
    both();
    for (const page of [onA, onB]) {
      await page.getByText('Fingerprint of the key: 1a2b-3c4d-5e6f').waitFor();
      await goOn(page);
      await at(page, 'Are the two alike?');
      await goOn(page);
    }
  });

  await t.test('addresses, a BMC, the password', async (t) => {
    await onA.getByLabel('Address of this server').fill('192.0.2.21');
    await goOn(onA);
    await onA
      .getByRole('status')
      .getByText(/192\.0\.2\.21/)
      .waitFor();
    await onA.getByLabel('Address of this server').fill('192.0.2.21/24');
    await goOn(onA);
    await at(onA, 'Witness and power switch');
    await onA.getByLabel('Address of the witness').fill('192.0.2.100');
    await onA.getByLabel("The other server's BMC").fill('192.0.2.12');
    await onA.getByLabel("The other server's BMC").blur();
    // Its fields come when there is one.
    await onA.getByLabel('Its user').fill('twinstep');
    await onA.getByLabel('Its password').fill('hush-bmc');
    await shoot(onA, '5-helpers');
    await goOn(onA);
    await at(onA, 'Password');
    await onA.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await onA.getByLabel('The same again').fill(`${PASSWORD}x`);
    await goOn(onA);
    await onA.getByText('The two were not the same: type both again.').waitFor();
    t.equal(await onA.getByLabel('Password', { exact: true }).inputValue(), '', 'typed anew');
    await onA.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await onA.getByLabel('The same again').fill(PASSWORD);
    await shoot(onA, '6-password');
    await onA.keyboard.press('Enter');
    await at(onA, 'Clock');
    await shoot(onA, '7-clock');
    await goOn(onA);
  });

  await t.test('the guest, what the other one was told, a console that goes on meanwhile, written by both', async (t) => {
    await at(onA, 'The guest and its disk');
    await onA.getByLabel('Memory, MiB').fill('2048');
    await shoot(onA, '8-guest');
    await goOn(onA);
    await at(onA, 'Summary');
    await shoot(onA, '9-summary');
    await onA.getByRole('button', { name: 'Write and start' }).click();
    await onA.getByText(/starts as soon as the other server is as far/).waitFor();
    await onB.getByLabel('Address of this server').fill('192.0.2.22/24');
    await goOn(onB);
    t.equal(await onB.getByLabel('Address of the witness').inputValue(), '192.0.2.100', 'told to the first one');
    // Somebody goes on at the serial line: the window follows, and what was meant for the page before does not count.
    b.dialogue.type('\r\r\r');
    t.equal(b.dialogue.state.page, 'password');
    both();
    await onB.getByLabel('yes').check();
    await goOn(onB);
    await at(onB, 'Clock');
    await goOn(onB);
    await at(onB, 'The guest and its disk');
    t.equal(await onB.getByLabel('Memory, MiB').inputValue(), '2048');
    await goOn(onB);
    await onB.getByRole('button', { name: 'Write and start' }).click();
    for (const page of [onA, onB]) await at(page, 'Done');
    await shoot(onA, 'x-done');
    t.equal(await onA.getByRole('link').getAttribute('href'), 'https://192.0.2.21/');
    const configs = hosts.map(({ dialogue }) =>
      parseConfig(dialogue.written?.find((f) => f.path === 'config.yaml')?.text ?? '', 'config.yaml'),
    );
    t.strictSame(
      configs.map((c) => [c.coServer, c.management.address, c.workload.memoryMiB]),
      [
        ['A', '192.0.2.21', 2048],
        ['B', '192.0.2.22', 2048],
      ],
    );
    t.equal(configs[0]?.fence.username, 'twinstep');
  });
  t.notMatch([...shown].join(), new RegExp(`${PASSWORD}|hush-bmc|argon2`), 'no secret comes to a page');
  t.notMatch(hosts.flatMap((h) => h.log).join(), new RegExp(`${PASSWORD}|hush-bmc|argon2`));
  t.strictSame(complaints, [], 'no script error');
});
