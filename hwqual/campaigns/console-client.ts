// Reads a CoServer's picture of the pair over its web console: HTTPS on the management network after a sign-in, as an operator's browser
// does. Works with whole machines and with real servers. Signs in again when the process there was restarted.
import { request } from 'node:https';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { LabError } from '../lab/lab-error.ts';

/** An emulated server that starts something answers after many seconds. */
const ANSWER_TIMEOUT_MS = 30_000;
/** A picture is some tens of kilobytes. */
const MAX_ANSWER_BYTES = 4 << 20;

export interface ConsoleAddress {
  address: string;
  port: number;
  password: string;
}

interface Answer {
  status: number;
  body: string;
  cookie: string | null;
}

export class ConsoleClient {
  readonly #at: ConsoleAddress;
  #cookie: string | null = null;

  constructor(at: ConsoleAddress) {
    this.#at = at;
  }

  /** Null: nobody answers there now (no power, no cable, starting). Throws a LabError for a wrong password. */
  async snapshot(): Promise<Snapshot | null> {
    try {
      if (this.#cookie === null && !(await this.#signIn())) return null;
      const answer = await this.#ask('GET', '/api/snapshot', null);
      if (answer.status === 401) this.#cookie = null;
      return answer.status === 200 ? (JSON.parse(answer.body) as Snapshot) : null;
    } catch (error) {
      if (error instanceof LabError) throw error;
      return null;
    }
  }

  /** Asks for an operator's action. Throws a LabError with the reason when it is refused. */
  async act(name: string): Promise<void> {
    const { status, body } = await this.#ask('POST', `/api/actions/${name}`, '{}');
    if (status !== 200) throw new LabError(`${name} was refused at ${this.#at.address}: ${body}`);
  }

  async #signIn(): Promise<boolean> {
    const { status, cookie } = await this.#ask('POST', '/api/login', JSON.stringify({ password: this.#at.password }));
    if (status === 401) throw new LabError(`the console at ${this.#at.address} refuses the password`, 'give that of the web console');
    this.#cookie = status === 200 ? cookie : null;
    return this.#cookie !== null;
  }

  #ask(method: 'GET' | 'POST', path: string, body: string | null): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = {
        ...(this.#cookie === null ? {} : { cookie: this.#cookie }),
        ...(body === null
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-twinstep-console': '1' }),
      };
      const asked = request(
        {
          agent: false,
          host: this.#at.address,
          port: this.#at.port,
          method,
          path,
          headers,
          // The certificate is the CoServer's own; this network is the lab's own.
          rejectUnauthorized: false,
          signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            text += chunk;
            if (text.length > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
          });
          response.once('end', () => {
            const cookie = response.headers['set-cookie']?.[0]?.split(';')[0] ?? null;
            resolve({ status: response.statusCode ?? 0, body: text, cookie });
          });
          response.once('error', reject);
        },
      );
      asked.once('error', reject);
      asked.end(body ?? undefined);
    });
  }
}
