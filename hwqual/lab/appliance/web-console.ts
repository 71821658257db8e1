// The web console of an appliance in a virtual machine, as an operator's script uses it: signs in, asks, uploads an update.
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from '../lab-error.ts';

/** Small enough for a server that emulates its cryptography. */
const PART_BYTES = 256 << 10;
const LOOK_EVERY_MS = 2_000;
const ANSWER_TIMEOUT_MS = 600_000;

export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

export class WebConsole {
  readonly #port: number;
  readonly #password: string;
  readonly #host: string;
  readonly #answerTimeoutMs: number;
  #cookie = '';

  constructor(port: number, password: string, { host = '127.0.0.1', answerTimeoutMs = ANSWER_TIMEOUT_MS } = {}) {
    this.#port = port;
    this.#password = password;
    this.#host = host;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  /** Waits until it answers, and signs in. */
  async open(timeoutS: number): Promise<void> {
    const until = performance.now() + timeoutS * 1000;
    for (;;) {
      const answer = await this.post('/api/login', { password: this.#password }).catch(() => null);
      if (answer?.status === 200) return;
      if (performance.now() > until)
        throw new LabError(`the web console did not let anybody in within ${timeoutS} s (${JSON.stringify(answer)})`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  async get(path: string): Promise<Record<string, unknown>> {
    const { status, body } = await this.#call('GET', path, 'application/json', Buffer.alloc(0));
    if (status !== 200) throw new LabError(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  post(path: string, value: object): Promise<Answer> {
    return this.#call('POST', path, 'application/json', Buffer.from(JSON.stringify(value)));
  }

  /** Answers the last answer: to the part that was refused, or that completed the update. */
  async upload(
    update: Buffer,
    { force = false, onPart = () => {} }: { force?: boolean; onPart?: (done: number) => void } = {},
  ): Promise<Answer> {
    const begun = await this.post('/api/update', { bytes: update.length, force });
    const { upload } = (begun.body.detail ?? {}) as { upload?: string };
    if (upload === undefined) return begun;
    for (let at = 0; ; at += PART_BYTES) {
      const part = update.subarray(at, at + PART_BYTES);
      const answer = await this.#call('POST', `/api/update/parts/${upload}/${at}`, 'application/octet-stream', part);
      if (answer.status !== 200 || at + part.length >= update.length) return answer;
      onPart(at + part.length);
    }
  }

  #call(method: string, path: string, type: string, body: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': type, 'x-twinstep-console': '1', cookie: this.#cookie };
      // Its certificate is its own, made at its first start.
      const call = request({
        host: this.#host,
        port: this.#port,
        method,
        path,
        headers,
        rejectUnauthorized: false,
        timeout: this.#answerTimeoutMs,
      });
      call.on('timeout', () => call.destroy(new LabError(`${path} was not answered within ${this.#answerTimeoutMs / 1000} s`)));
      call.on('error', reject);
      call.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('error', reject);
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => {
          const cookie = response.headers['set-cookie']?.[0]?.split(';')[0];
          if (cookie !== undefined) this.#cookie = cookie;
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> });
          } catch {
            reject(new LabError(`${path} answered with ${response.statusCode} and no JSON`));
          }
        });
      });
      call.end(method === 'GET' ? undefined : body);
    });
  }
}
