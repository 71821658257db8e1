// The web console as an operator's browser shows it: signs in, and takes pictures of the page. Runs where the appliances' management network is.
import { existsSync } from 'node:fs';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { LabError } from '../lab-error.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync'];
/** An emulated server with a browser beside it on the same cores. */
const PATIENCE_MS = 180_000;
const WINDOW = { width: 1280, height: 900 };

export class WebPage {
  readonly #context: BrowserContext;
  readonly #page: Page;

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.#page = page;
  }

  /** `profile`: an empty folder for the browser. Resolves when the pair's page is there. */
  static async signIn(profile: string, url: string, password: string): Promise<WebPage> {
    if (!existsSync(CHROMIUM)) throw new LabError(`there is no ${CHROMIUM} for pictures of the web console`, 'apt-get install chromium');
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      headless: true,
      // The appliance's own: compared on the serial console.
      ignoreHTTPSErrors: true,
      args: FLAGS,
      viewport: WINDOW,
    });
    try {
      const page = context.pages()[0] ?? (await context.newPage());
      page.setDefaultTimeout(PATIENCE_MS);
      await page.goto(url, { timeout: PATIENCE_MS });
      await page.fill('input[type=password]', password);
      await page.keyboard.press('Enter');
      await page.locator('main:not(.login)').waitFor();
      return new WebPage(context, page);
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  /** The whole page as a PNG. */
  async picture(path: string): Promise<void> {
    await this.#page.screenshot({ path, fullPage: true, timeout: PATIENCE_MS });
  }

  async close(): Promise<void> {
    await this.#context.close();
  }
}
