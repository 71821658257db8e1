// Who may ask, and how: every answer's headers, sign-in and sessions, the live stream. For each server of this appliance that speaks to browsers.
// Against cross-site requests: SameSite=Strict, JSON only, a header that no foreign page can send without asking first, and Origin.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { LiveHub } from './live.ts';
import { LoginLimiter } from './login-limiter.ts';
import { PASSWORD_MAX_CHARS } from './password.ts';
import { SECURITY_HEADERS } from './security-headers.ts';
import { cookieValue, SESSION_MS, type Sessions } from './sessions.ts';

/** Sent by our own page and scripts with every POST. */
export const REQUEST_HEADER = 'x-twinstep-console';

/** What one signs in with. */
export interface Secret {
  /** What it is called: 'password'. */
  readonly word: string;
  /** There is none: nobody can sign in. */
  readonly unset: boolean;
  check(typed: string): Promise<'right' | 'wrong' | 'busy'>;
}

export interface SignIn {
  sessions: Sessions;
  password: Secret;
  cookieName: string;
  nowMs: () => number;
}

/** `signIn` null: on the local socket, where whoever may open it is the operator. */
export interface GuardOptions {
  signIn: SignIn | null;
  live: LiveHub;
  log: (line: string) => void;
}

export function registerGuard(app: FastifyInstance, options: GuardOptions): void {
  const { signIn, log } = options;
  // Browsers send text/plain and forms to foreign hosts without asking: this API takes JSON only.
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    if (request.url.startsWith('/api/')) reply.header('cache-control', 'no-store');
    if (request.method === 'POST' && signIn && isForeign(request))
      return reply.code(403).send({
        accepted: false,
        reason: `Requests from other pages are refused (header ${REQUEST_HEADER} and the own origin are needed).`,
      });
    if (signIn && needsSession(request) && !signIn.sessions.isOpen(token(request, signIn.cookieName)))
      return reply.code(401).send({ accepted: false, reason: 'Sign in first.' });
  });
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) log(`${request.method} ${request.routeOptions.url ?? ''} failed: ${error.message}`);
    return reply
      .code(status)
      .send({ accepted: false, reason: status >= 500 ? 'The console failed at this request; its log says why.' : error.message });
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ accepted: false, reason: 'There is nothing at this address.' }));
  app.get('/api/live', (request, reply) => startLive(request, reply, options));
  if (signIn) registerSignIn(app, signIn, log);
}

function registerSignIn(app: FastifyInstance, { sessions, password, cookieName, nowMs }: SignIn, log: (line: string) => void): void {
  const limiter = new LoginLimiter();
  const attributes = 'Path=/; HttpOnly; Secure; SameSite=Strict';
  app.post<{ Body: { password: string } }>(
    '/api/login',
    {
      schema: {
        body: {
          type: 'object',
          required: ['password'],
          properties: { password: { type: 'string', minLength: 1, maxLength: PASSWORD_MAX_CHARS } },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      if (password.unset)
        return reply.code(403).send({ accepted: false, reason: 'No password is set: put console.passwordHash into the configuration.' });
      const admission = limiter.admit(request.ip, nowMs());
      if (!admission.admitted) return tooMany(reply, admission.retryAfterS);
      const check = await password.check(request.body.password);
      if (check === 'busy') return tooMany(reply, 1);
      log(`sign-in from ${request.ip}: ${check === 'right' ? 'accepted' : `wrong ${password.word}`}`);
      if (check === 'wrong') return reply.code(401).send({ accepted: false, reason: `Wrong ${password.word}.` });
      limiter.succeeded(request.ip);
      reply.header('set-cookie', `${cookieName}=${sessions.open()}; ${attributes}; Max-Age=${SESSION_MS / 1000}`);
      return { accepted: true };
    },
  );
  app.post('/api/logout', async (request, reply) => {
    sessions.close(token(request, cookieName));
    reply.header('set-cookie', `${cookieName}=; ${attributes}; Max-Age=0`);
    return { accepted: true };
  });
}

function startLive(request: FastifyRequest, reply: FastifyReply, { live, signIn }: GuardOptions): void {
  if (live.full) {
    reply.code(503).send({ accepted: false, reason: 'Too many consoles are open; close one.' });
    return;
  }
  const session = signIn ? token(request, signIn.cookieName) : '';
  reply.hijack();
  reply.raw.writeHead(200, { ...SECURITY_HEADERS, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
  live.attach(reply.raw, () => !signIn || signIn.sessions.isOpen(session));
}

function tooMany(reply: FastifyReply, retryAfterS: number): FastifyReply {
  reply.header('retry-after', String(retryAfterS));
  return reply.code(429).send({ accepted: false, reason: `Too many attempts: try again in ${retryAfterS} s.` });
}

/** The page itself and the login are for everybody; facts and actions are not. */
function needsSession(request: FastifyRequest): boolean {
  const url = request.routeOptions.url ?? '';
  return url.startsWith('/api/') && url !== '/api/login';
}

function isForeign(request: FastifyRequest): boolean {
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  if (request.headers[REQUEST_HEADER] === undefined) return true;
  if (origin !== undefined && origin !== `https://${host}`) return true;
  return site !== undefined && site !== 'same-origin';
}

export const token = (request: FastifyRequest, cookieName: string): string => cookieValue(request.headers.cookie, cookieName);
