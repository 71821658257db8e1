// The first start of an appliance as an operator's browser shows it.
import { connect } from 'node:tls';
import type { BrowserContext, Page } from 'playwright-core';
import { LabError } from '../lab-error.ts';
import { PATIENCE_S } from './first-start.ts';
import type { ApplianceMachine } from './machine.ts';

const WAY_IN = /Or in a browser: https:\/\/([\d.]+)\/, with the code (\S+)\. .*must be ([0-9A-F: ]+)\./;

export class FirstStartPage {
  readonly #page: Page;

  private constructor(page: Page) {
    this.#page = page;
  }

  /** As somebody does who has read address, code and fingerprint off the server's screen. `port`: leads there. */
  static async signIn(context: BrowserContext, machine: ApplianceMachine, port: number): Promise<FirstStartPage> {
    await machine.untilScreen(WAY_IN, PATIENCE_S);
    await machine.untilDrawn();
    const screen = machine.screen().join(' ').replace(/ +/g, ' ');
    const [, address = '', code = '', fingerprint = ''] = WAY_IN.exec(screen) ?? [];
    const shown = await fingerprintAt(port);
    if (shown !== fingerprint.replaceAll(' ', ''))
      throw new LabError(`${address} shows a certificate with the fingerprint ${shown}; on the screen: ${fingerprint}`);
    const page = await context.newPage();
    await page.goto(`https://127.0.0.1:${port}/`);
    await page.getByLabel(/Code on its screen/).fill(code);
    await page.getByRole('button', { name: 'Sign in' }).click();
    const first = new FirstStartPage(page);
    await first.at('Which server is this?');
    return first;
  }

  async at(title: string): Promise<void> {
    await this.#page.getByRole('heading', { name: title }).waitFor();
  }

  async says(text: RegExp): Promise<string> {
    const found = this.#page.getByText(text).first();
    await found.waitFor();
    return (await found.textContent()) ?? '';
  }

  async fill(values: Readonly<Record<string, string>>): Promise<void> {
    for (const [label, value] of Object.entries(values)) await this.#page.getByLabel(label, { exact: true }).fill(value);
  }

  async choose(label: string): Promise<void> {
    await this.#page.getByLabel(label).check();
  }

  /** A port's use. */
  async use(port: number, use: string): Promise<void> {
    await this.#page.getByLabel(`${port}`, { exact: true }).selectOption(use);
  }

  async press(button: string): Promise<void> {
    await this.#page.getByRole('button', { name: button }).click();
  }

  async goOn(to: string): Promise<void> {
    await this.press('Go on');
    await this.at(to);
  }

  /** The whole page as a PNG. */
  async picture(path: string): Promise<void> {
    await this.#page.screenshot({ path, fullPage: true });
  }

  async close(): Promise<void> {
    await this.#page.close();
  }
}

function fingerprintAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.setTimeout(PATIENCE_S * 1000, () => socket.destroy(new LabError(`nothing answers at port ${port}`)));
    socket.once('error', reject);
  });
}
