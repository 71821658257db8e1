// The page in a real browser: it shows a change without being loaded again, says when it has lost its server, and finds it again.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import t from 'tap';
import type { LabAction } from '../../appliance/console/api/index.ts';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { freePort, type Harness, harness, PASSWORD } from '../unit/appliance/console/api/harness.ts';
import { duplex, holding, resyncing, takeoverJustHappened, troubled } from '../unit/appliance/console/fixtures.ts';
import { hardwareTroubled } from '../unit/appliance/console/hardware-fixtures.ts';
import { lockstep, notProven, unfit } from '../unit/appliance/console/lockstep-fixtures.ts';
import { buildPage, CHROMIUM, openBrowser, STICKS_OUT } from './browser.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

const directory = mkdtempSync(join(tmpdir(), 'co-page-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

/** Between browser and server: a server that freezes or loses its power says nothing, and this is how that looks from outside. */
async function cable(to: number) {
  const sockets = new Set<Socket>();
  let dead = false;
  const server = createServer((near) => {
    const far = connectTcp(to, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        if (!dead) (socket === near ? far : near).destroy();
      });
      if (dead) socket.pause();
    }
    near.on('data', (bytes) => void (dead || far.write(bytes)));
    far.on('data', (bytes) => void (dead || near.write(bytes)));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${port}/`,
    cut: () => {
      dead = true;
    },
    mend: () => {
      dead = false;
      // What was swallowed is gone: those connections are broken for good.
      for (const socket of sockets) socket.destroy();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function signedIn(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  await page.fill('input[type=password]', PASSWORD);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'DUPLEX' }).waitFor();
  return page;
}

/** What no line has room for, wherever a pair may say something. */
function longWords(s: Snapshot): Snapshot {
  const word = 'x'.repeat(200);
  return {
    ...s,
    redundancySentence: word,
    singlePoints: [word],
    arbiter: {
      ...s.arbiter,
      sentence: word,
      witness: { ...s.arbiter.witness, usable: false, reason: word },
      fencePath: { ...s.arbiter.fencePath, configured: true, reason: word },
    },
    attention: [
      {
        kind: 'frozen',
        severity: 'critical',
        title: word,
        sentence: word,
        row: word,
        leftMs: 1,
        endsWhen: [word],
        ways: [
          { text: word, action: null },
          { text: word, action: 'force-start' },
        ],
      },
    ],
    coServers: s.coServers.map((c) => ({ ...c, phase: word, sentence: word, version: word })),
    links: s.links.map((l) => ({ ...l, name: `${l.name}${word}`, nic: word })),
    workload: { ...s.workload, name: word, sentence: word, addresses: [word] },
    progress: { what: word, doneBytes: 1, totalBytes: 2, rateBytesPerS: 1, etaS: null },
    timeline: s.timeline.map((e) => ({ ...e, text: word, row: word, evidence: [`${word}: ${word}`, `links: ${word}`] })),
    takeovers: takeoverJustHappened().takeovers.map((k) => ({ ...k, reason: word, row: word, steps: [{ step: word, atMs: 5 }] })),
    actions: s.actions.map((a) => ({
      ...a,
      label: `${a.label}${word}`,
      reason: word,
      ...(a.typed ? { typed: { word: 'force', meaning: word } } : {}),
    })),
    lockstep: s.lockstep
      ? { ...s.lockstep, sentence: word, causes: s.lockstep.causes.map((c) => ({ ...c, label: word, total: 1e12 })) }
      : null,
    audit: s.audit ? { ...s.audit, sentence: word } : null,
    incidents: (unfit().incidents ?? []).map((i) => ({ ...i, sentence: word, evidence: [word] })),
    consoles: [{ coServer: 'B', url: `https://${word}`, fingerprint: word }],
  };
}

t.test('the page', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`, timeout: 120_000 }, async (t) => {
  const webRoot = await buildPage(directory);
  const labAsked: LabAction[] = [];
  const lab = {
    request: async (action: LabAction) => {
      labAsked.push(action);
      return action.action === 'power-on' ? { accepted: false as const, reason: 'B is on already.' } : { accepted: true as const };
    },
  };
  const h: Harness = await harness({ webRoot, lab });
  t.teardown(() => h.close());
  const wire = await cable(h.port);
  t.teardown(() => wire.close());
  const context = await openBrowser(directory);
  t.teardown(() => context.close());
  const complaints: string[] = [];
  const foreign: string[] = [];
  context.on('weberror', (error) => complaints.push(error.error().message));
  context.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) complaints.push(message.text());
  });
  context.on('request', (request) => {
    if (!/^(https:\/\/127\.0\.0\.1:|data:)/.test(request.url())) foreign.push(request.url());
  });

  await t.test('a wrong password is refused with a sentence', async (t) => {
    const page = await context.newPage();
    await page.goto(wire.url);
    await page.fill('input[type=password]', 'not it');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'Wrong password.' }).waitFor();
    t.equal(await page.getByRole('heading', { name: 'DUPLEX' }).count(), 0);
    await page.close();
  });

  const page = await signedIn(context, wire.url);

  await t.test('a change is shown without a reload', async (t) => {
    await page.evaluate('window.loadedOnce = true');
    t.match(await page.locator('.hero').textContent(), /Either server may fail now\.[\s\S]*No single failure stops the workload/);
    h.set(takeoverJustHappened());
    await page.getByRole('heading', { name: 'SIMPLEX' }).waitFor();
    t.match(await page.locator('.takeover').textContent(), /CoServer B took over, done 130 ms[\s\S]*witness granted generation 8/);
    t.match(await page.getByRole('article', { name: 'CoServer A' }).textContent(), /not heard/);
    t.match(await page.locator('.events').textContent(), /row 5: partner silent on every path/);
    h.set(resyncing());
    await page.getByText('125 MB of 268 MB, 143 MB to do, 21.3 MB/s, 7 s left').waitFor();
    t.equal(await page.getByRole('progressbar').getAttribute('value'), String(125_000_000 / 268_435_456));
    t.equal(await page.evaluate('window.loadedOnce'), true, 'it is the same page');
    t.equal(await page.locator('.chart canvas').count(), 3);
  });

  await t.test('lab buttons ask, actions ask twice, refusals are told', async (t) => {
    h.set(duplex());
    await page.getByRole('button', { name: 'Power off B' }).click();
    await page.getByRole('status').filter({ hasText: 'Power off B: accepted.' }).waitFor();
    await page.getByRole('button', { name: 'Power on B' }).click();
    await page.getByRole('status').filter({ hasText: 'B is on already.' }).waitFor();
    await page.getByRole('button', { name: 'Cut link 2' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('status').filter({ hasText: 'Cut link 2: accepted.' }).waitFor();
    t.strictSame(labAsked, [
      { action: 'power-off', target: 'B' },
      { action: 'power-on', target: 'B' },
      { action: 'cut-link', target: '2' },
    ]);
    const force = page.getByRole('button', { name: 'Start here by force' });
    t.equal(await force.isVisible(), false, 'what cannot be forced is out of sight');
    await page.getByText('What could be forced').click();
    t.equal(await force.isDisabled(), true);
    await page.getByRole('button', { name: 'Move the workload' }).click();
    t.strictSame(h.asked, [], 'the first press asks for nothing');
    await page.getByRole('button', { name: 'Press again: move the workload' }).click();
    await page.getByRole('status').filter({ hasText: 'Move the workload to the other CoServer: accepted.' }).waitFor();
    t.strictSame(h.asked, [{ action: 'move-workload', args: {}, by: 'the web console, 127.0.0.1' }]);
  });

  await t.test('frozen: in large letters what ends it; what can lose data needs its word', async (t) => {
    h.set(holding());
    await page.getByRole('heading', { name: 'FROZEN', exact: true }).waitFor();
    const panel = page.getByRole('region', { name: 'What needs you' });
    t.match(
      await panel.textContent(),
      /The workload is frozen[\s\S]*Ends by itself when CoServer B is heard again, or when the witness answers\.[\s\S]*row 7w/,
    );
    const before = h.asked.length;
    await panel.getByRole('button', { name: 'Start here by force' }).click();
    const dialog = page.getByRole('dialog', { name: 'Start here by force' });
    await dialog.getByText('there will be two histories').waitFor();
    const submit = dialog.getByRole('button', { name: 'Start here by force' });
    t.equal(await submit.isDisabled(), true);
    await page.keyboard.type('yes');
    await page.keyboard.press('Enter');
    t.equal(await submit.isDisabled(), true);
    // A new picture comes once a second: it must not take the word away.
    await page.getByLabel('type the word').fill('forc');
    h.set({ ...holding(), generation: 70 });
    await page.getByText('generation 70').first().waitFor();
    t.equal(await page.getByLabel('type the word').inputValue(), 'forc');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    t.equal(h.asked.length, before, 'nothing was asked for');
    await panel.getByRole('button', { name: 'Start here by force' }).click();
    await page.getByLabel('type the word').fill('force');
    h.set({ ...holding(), actions: holding().actions.map((a) => ({ ...a, allowed: false, reason: 'CoServer B is back.' })) });
    await dialog.getByText('Not possible any more: CoServer B is back.').waitFor();
    t.equal(await submit.isDisabled(), true);
    h.set(holding());
    await dialog.getByRole('alert').waitFor({ state: 'detached' });
    await submit.click();
    await page.getByRole('status').filter({ hasText: 'Start here by force: accepted.' }).waitFor();
    t.strictSame(h.asked.slice(before), [{ action: 'force-start', args: {}, by: 'the web console, 127.0.0.1' }]);
    await dialog.waitFor({ state: 'detached' });
  });

  await t.test('an event unfolds what was known', async (t) => {
    h.set(takeoverJustHappened());
    await page.getByRole('heading', { name: 'SIMPLEX' }).waitFor();
    const known = page.getByText('generation 7, duplexSecondary, arbiter witness');
    t.equal(await known.isVisible(), false);
    await page.getByText('What was known').click();
    await known.waitFor();
    h.set(duplex());
    await page.getByRole('heading', { name: 'DUPLEX' }).waitFor();
  });

  await t.test('protected looks different from not proven; the mode has its own actions; evidence stays unfolded', async (t) => {
    const look = () => page.evaluate("getComputedStyle(document.querySelector('.hero')).backgroundColor");
    h.set(lockstep());
    await page.getByText('98.7 %, last minute').waitFor();
    t.equal(await page.locator('.standing').textContent(), 'protected');
    const green = await look();
    t.strictSame(await page.locator('.mode .actions button').allTextContents(), ['Keep lockstep', 'Keep passive']);
    t.match(await page.locator('.causes').textContent(), /the replicas said different bytes0\.396/);
    t.match(await page.locator('.audit').textContent(), /secondary: proven[\s\S]*1449 of 1450 probes/);
    t.match(await page.locator('.incidents').textContent(), /No replica was found broken/);
    h.set(notProven());
    await page.getByText('not protected yet: both replicas run, B is not proven').waitFor();
    t.not(await look(), green);
    h.set(unfit());
    const evidence = page.getByText('different at interval 18107');
    await evidence.waitFor({ state: 'attached' });
    t.equal(await evidence.isVisible(), false);
    await page.getByText('What was seen').click();
    await evidence.waitFor();
    const s = unfit();
    const [old] = s.incidents ?? [];
    if (!old) throw new Error('incidents');
    h.set({ ...s, incidents: [...(s.incidents ?? []), { ...old, at: s.at, sentence: 'Another one.', evidence: ['not asked for'] }] });
    await page.getByText('Another one.').waitFor();
    t.equal(await evidence.isVisible(), true);
    t.equal(await page.getByText('not asked for').isVisible(), false);
    h.set(duplex());
    await page.locator('.audit').waitFor({ state: 'detached' });
  });

  await t.test('a server that falls silent: said with the age, kept, found again', async (t) => {
    wire.cut();
    const banner = page.getByRole('alert').filter({ hasText: 'Connection lost.' });
    await banner.filter({ hasText: /Showing the picture of [3-9] s ago/ }).waitFor();
    t.match(await banner.textContent(), /CoServer B may know more: https:\/\/10\.78\.0\.2:8443/);
    t.equal(await page.getByRole('heading', { name: 'DUPLEX' }).count(), 1, 'the last picture stays');
    h.set(takeoverJustHappened());
    wire.mend();
    await page.getByRole('heading', { name: 'SIMPLEX' }).waitFor();
    await banner.waitFor({ state: 'detached' });
    t.equal(await page.evaluate('window.loadedOnce'), true);
  });

  await t.test('narrow, dark, without a mouse', async (t) => {
    // Nobody says when the page has been laid out, and an observer's answer comes a frame later: so it must fit without that answer.
    const narrow = await context.newPage();
    await narrow.addInitScript('window.ResizeObserver = class { observe() {} unobserve() {} disconnect() {} }');
    await narrow.goto(wire.url);
    for (const [name, snapshot, word] of [
      ['takeover', takeoverJustHappened(), 'SIMPLEX'],
      ['duplex', duplex(), 'DUPLEX'],
      ['unfit', unfit(), 'SIMPLEX'],
      ['frozen', holding(), 'FROZEN'],
      ['troubled', troubled(), 'SIMPLEX'],
      ['hardware', hardwareTroubled(), 'DUPLEX'],
      ['long words', longWords(lockstep()), 'DUPLEX'],
    ] as const) {
      h.set(snapshot);
      await narrow.getByRole('heading', { name: word, exact: true }).waitFor();
      await narrow.evaluate("for (const d of document.querySelectorAll('details')) d.open = true");
      for (const width of [320, 390, 900, 1280]) {
        await narrow.setViewportSize({ width, height: 844 });
        t.equal(await narrow.evaluate(STICKS_OUT), '', `${name}: nothing sticks out at ${width}`);
      }
    }
    await narrow.close();
    await page.emulateMedia({ colorScheme: 'dark' });
    t.not(await page.evaluate('getComputedStyle(document.body).backgroundColor'), 'rgb(243, 244, 247)');
    await page.getByRole('button', { name: 'Sign out' }).press('Enter');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  t.strictSame(complaints, [], 'no script error, no breach of the content security policy');
  t.strictSame(foreign, [], 'nothing is asked of anybody else');
});
