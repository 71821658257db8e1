// An operator's browser beside the lab's machines.
import { existsSync } from 'node:fs';
import { type BrowserContext, chromium } from 'playwright-core';
import { LabError } from '../lab-error.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync'];
/** An emulated server with a browser beside it on the same cores. */
export const PATIENCE_MS = 180_000;
const WINDOW = { width: 1280, height: 900 };

/** `profile`: an empty folder for it. */
export async function openBrowser(profile: string): Promise<BrowserContext> {
  if (!existsSync(CHROMIUM)) throw new LabError(`there is no ${CHROMIUM} for pictures of the web console`, 'apt-get install chromium');
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    // The appliance's own: compared on the serial console.
    ignoreHTTPSErrors: true,
    args: FLAGS,
    viewport: WINDOW,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}
