// The web console as an operator's browser shows it: signs in, and takes pictures of the page. Runs where the appliances' management network is.
import type { BrowserContext, Page } from 'playwright-core';
import { openBrowser, PATIENCE_MS } from './browser.ts';

export class WebPage {
  readonly #context: BrowserContext;
  readonly #page: Page;

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.#page = page;
  }

  /** `profile`: an empty folder for the browser. Resolves when the pair's page is there. */
  static async signIn(profile: string, url: string, password: string): Promise<WebPage> {
    const context = await openBrowser(profile);
    try {
      const page = context.pages()[0] ?? (await context.newPage());
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
