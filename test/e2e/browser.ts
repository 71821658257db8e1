// The page as it is built for the product, and a real browser to look at it.
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type BrowserContext, chromium } from 'playwright-core';

export const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const WEB = join(import.meta.dirname, '../../appliance/console/web');

/** Answers the folder that the console's server serves. */
export async function buildPage(directory: string): Promise<string> {
  const webRoot = join(directory, 'web');
  await build({
    absWorkingDir: join(WEB, '../../..'),
    entryPoints: [
      { in: join(WEB, 'app.tsx'), out: 'app' },
      { in: join(WEB, 'style.css'), out: 'style' },
    ],
    outdir: webRoot,
    bundle: true,
    platform: 'browser',
    format: 'esm',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    logLevel: 'error',
  });
  for (const name of ['index.html', 'icon.svg']) await copyFile(join(WEB, name), join(webRoot, name));
  return webRoot;
}

export const openBrowser = (directory: string): Promise<BrowserContext> =>
  chromium.launchPersistentContext(join(directory, 'profile'), {
    executablePath: CHROMIUM,
    headless: true,
    ignoreHTTPSErrors: true,
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
  });

/** To be evaluated in a page. Answers '' or the window's and the page's width, and what is too wide. */
export const STICKS_OUT = `(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return '';
  const wide = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > clientWidth + 0.5);
  return [scrollWidth, clientWidth, ...wide.slice(0, 9).map((e) => e.tagName + '.' + e.className)].join(' ');
})()`;
