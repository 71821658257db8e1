// The first start in a browser: the same dialogue as on the consoles, over TLS, for whoever knows the code that they show.
//   GET  /api/live            the page that is asked, at every change, server-sent events (event: snapshot, data: SetupView)
//   POST /api/setup           SetupForm -> {"accepted": true} | 409: another page is asked by now
//   POST /api/login           {"password": the code}
// Guards, limits and headers are those of the console of the pair (appliance/console/api/guard.ts).
import { randomBytes, timingSafeEqual } from 'node:crypto';
import {
  closeServer,
  LiveHub,
  listenOnAddress,
  newCertificate,
  registerGuard,
  type Secret,
  Sessions,
  servePage,
  tlsServer,
} from '../console/api/index.ts';
import { readableCode, readCode } from '../encryption/readable-code.ts';
import { TEXT_MAX_CHARS } from './input.ts';
import type { SetupHost } from './setup-host.ts';
import { PAGES, type SetupForm } from './state.ts';

/** 40 bits, and one attempt a second: eight characters to type. */
const CODE_BYTES = 5;
/** Ports, each with its use. */
const VALUES_MAX = 64;

export interface SetupWeb {
  code: string;
  fingerprint: string;
  close(): Promise<void>;
}

export interface SetupWebOptions {
  host: Pick<SetupHost, 'view' | 'form' | 'onChange'>;
  address: string;
  port: number;
  /** Directory of the built page. */
  webRoot: string;
  log: (line: string) => void;
}

/** Throws when it cannot listen there. */
export async function startSetupWeb({ host, address, port, webRoot, log }: SetupWebOptions): Promise<SetupWeb> {
  const nowMs = () => performance.now();
  const code = readableCode(randomBytes(CODE_BYTES));
  // Two servers may be reached through one name with two ports, and cookies know no ports.
  const cookieName = `__Host-twinstep-setup-${randomBytes(4).toString('hex')}`;
  const tls = newCertificate({ commonName: 'Twinstep first start', names: ['twinstep'] });
  const live = new LiveHub({ snapshot: () => host.view(), onChange: (listener) => host.onChange(listener), nowMs });
  const app = tlsServer(tls);
  registerGuard(app, { live, log, signIn: { sessions: new Sessions(nowMs), password: codeAsSecret(code), cookieName, nowMs } });
  app.post<{ Body: SetupForm }>('/api/setup', { schema: { body: FORM } }, async (request, reply) => {
    if (host.form(request.body)) return { accepted: true };
    return reply
      .code(409)
      .send({ accepted: false, reason: 'Another page is asked by now: somebody has gone on, here or on another console.' });
  });
  await servePage(app, webRoot);
  await app.ready();
  await listenOnAddress(app.server, address, port);
  return {
    code,
    fingerprint: tls.fingerprint,
    close: async () => {
      // That all is written is the last thing that a page shows.
      await live.farewell();
      await closeServer(app);
    },
  };
}

const FORM = {
  type: 'object',
  required: ['page', 'values', 'turn'],
  additionalProperties: false,
  properties: {
    page: { enum: PAGES },
    turn: { enum: ['stay', 'on', 'back'] },
    values: {
      type: 'object',
      maxProperties: VALUES_MAX,
      additionalProperties: { type: 'string', maxLength: TEXT_MAX_CHARS },
    },
  },
};

/** As it is typed: capitals, blanks and dashes do not matter. */
function codeAsSecret(code: string): Secret {
  return {
    word: 'code',
    unset: false,
    check: async (typed) => {
      const read = Buffer.from(readCode(typed, CODE_BYTES) ?? '');
      const wanted = Buffer.from(code);
      return read.length === wanted.length && timingSafeEqual(read, wanted) ? 'right' : 'wrong';
    },
  };
}
