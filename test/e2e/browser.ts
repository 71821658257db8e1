// The page as it is built for the product, and a real browser to look at it.
import { join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';
import { buildPage as buildFrom, PAGES } from '../../image/bundle/build.ts';

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

/** Answers the folder that a server of pages serves. */
export async function buildPage(directory: string, page: keyof typeof PAGES = 'web'): Promise<string> {
  const webRoot = join(directory, page);
  await buildFrom(PAGES[page], webRoot);
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
