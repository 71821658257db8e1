// The API, the same over TLS (with a session) and over the local Unix socket (whoever may open it is the operator).
//   GET  /api/snapshot        the picture
//   GET  /api/live            the picture at every change, server-sent events
//   GET  /api/qualification   what both servers are made of, and the verdict; 404: nobody asks
//   POST /api/actions/:name   {"args": {...}, "typed": "force"} -> {"accepted": true} | 409 {"accepted": false, "reason"}
//                             typed: the word that an action needs which can lose data; 422 without it
//   POST /api/points/:verb    {"name": "..."}: restore points; answered when it is done
//   /api/update ...           update-routes.ts
//   /api/settings ...         settings-routes.ts
//   POST /api/lab/:action     {"target": "A"} in the lab only
//   POST /api/login, /api/logout (TLS only)
// Against cross-site requests: SameSite=Strict, JSON only, a header that no foreign page can send without asking first, and Origin.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { PointVerb } from '../../core/restore-points.ts';
import { whyNotTyped } from '../action-views.ts';
import type { SettingsRequest } from '../settings-state.ts';
import { LAB_TARGETS, type Lab } from './lab.ts';
import type { LiveHub } from './live.ts';
import { LoginLimiter } from './login-limiter.ts';
import { PASSWORD_MAX_CHARS, type PasswordVerifier } from './password.ts';
import { SECURITY_HEADERS } from './security-headers.ts';
import { cookieValue, SESSION_MS, type Sessions } from './sessions.ts';
import { registerSettings } from './settings-routes.ts';
import type { ActionArgs, ActionRequest, PointRequest, RequestAnswer, SnapshotSource } from './types.ts';
import { registerUpdate, type UpdateRequest } from './update-routes.ts';

/** Sent by our own page and scripts with every POST. */
export const REQUEST_HEADER = 'x-twinstep-console';

export interface RouteOptions extends SnapshotSource {
  live: LiveHub;
  request: ActionRequest;
  points: PointRequest | undefined;
  updates: UpdateRequest | undefined;
  settings: SettingsRequest | undefined;
  qualification: (() => object | null) | undefined;
  lab: Lab | undefined;
  log: (line: string) => void;
  /** null on the local socket. */
  signIn: { sessions: Sessions; password: PasswordVerifier; cookieName: string; nowMs: () => number } | null;
}

const NAME = { type: 'string', pattern: '^[a-z][a-zA-Z0-9-]{0,63}$' };
const ARGS = {
  type: 'object',
  maxProperties: 16,
  additionalProperties: { anyOf: [{ type: 'boolean' }, { type: 'number' }, { type: 'string', maxLength: 256 }] },
};

export function registerRoutes(app: FastifyInstance, options: RouteOptions): void {
  const { signIn } = options;
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
    if (status >= 500) options.log(`${request.method} ${request.routeOptions.url ?? ''} failed: ${error.message}`);
    return reply
      .code(status)
      .send({ accepted: false, reason: status >= 500 ? 'The console failed at this request; its log says why.' : error.message });
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ accepted: false, reason: 'There is nothing at this address.' }));

  app.get('/api/snapshot', async () => options.snapshot());
  app.get('/api/live', (request, reply) => startLive(request, reply, options));
  app.get('/api/qualification', async (_request, reply) => {
    const known = options.qualification?.() ?? null;
    return known ?? reply.code(404).send({ accepted: false, reason: 'The servers are not compared here (qualification.policy is none).' });
  });
  app.post<{ Params: { name: string }; Body: { args?: ActionArgs; typed?: string } | null }>(
    '/api/actions/:name',
    {
      schema: {
        params: { type: 'object', properties: { name: NAME } },
        body: {
          type: ['object', 'null'],
          properties: { args: ARGS, typed: { type: 'string', maxLength: 64 } },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { actions } = options.snapshot();
      const action = actions.find((a) => a.name === name);
      if (!action)
        return reply.code(404).send({
          accepted: false,
          reason: `There is no action '${name}'; there are: ${actions.map((a) => a.name).join(', ') || 'none'}.`,
        });
      const by = from(request, signIn !== null);
      const untyped = whyNotTyped(action, request.body?.typed ?? '');
      const answer: RequestAnswer =
        untyped === null ? await options.request(name, request.body?.args ?? {}, by) : { accepted: false, reason: untyped };
      options.log(`console: action ${name} from ${by}: ${answer.accepted ? 'accepted' : `refused: ${answer.reason}`}`);
      return reply.code(answer.accepted ? 200 : untyped === null ? 409 : 422).send(answer);
    },
  );
  registerPoints(app, options);
  registerUpdate(app, options.updates, (request) => from(request, signIn !== null));
  registerSettings(app, options.settings, {
    via: signIn ? 'web' : 'local',
    asker: (request) => ({ by: from(request, signIn !== null), session: signIn ? token(request, signIn.cookieName) : '' }),
    log: options.log,
  });
  registerLab(app, options);
  if (signIn) registerSignIn(app, options, signIn);
}

/** Exports are read through a socket of this machine: asked for on it only. */
const LOCAL_VERBS: readonly PointVerb[] = ['export', 'end-export'];

function registerPoints(app: FastifyInstance, { points, log, signIn }: RouteOptions): void {
  if (!points) return;
  app.post<{ Params: { verb: PointVerb }; Body: { name: string; typed?: string } }>(
    '/api/points/:verb',
    {
      schema: {
        params: { type: 'object', properties: { verb: { enum: ['take', 'remove', 'roll-back', ...(signIn ? [] : LOCAL_VERBS)] } } },
        body: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string', maxLength: 40 }, typed: { type: 'string', maxLength: 64 } },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const { name, typed } = request.body;
      const by = from(request, signIn !== null);
      const answer = await points(request.params.verb, name, by, typed ?? '');
      log(
        `console: restore point '${name}', ${request.params.verb} from ${by}: ${answer.accepted ? 'accepted' : `refused: ${answer.reason}`}`,
      );
      return reply.code(answer.accepted ? 200 : 409).send(answer);
    },
  );
}

function registerLab(app: FastifyInstance, { lab, log, signIn }: RouteOptions): void {
  if (!lab) return;
  app.post<{ Params: { action: string }; Body: { target: string } }>(
    '/api/lab/:action',
    {
      schema: {
        params: { type: 'object', properties: { action: NAME } },
        body: {
          type: 'object',
          required: ['target'],
          properties: { target: { type: 'string', maxLength: 8 } },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const { action } = request.params;
      const { target } = request.body;
      const targets = Object.hasOwn(LAB_TARGETS, action) ? LAB_TARGETS[action] : undefined;
      if (!targets)
        return reply
          .code(404)
          .send({ accepted: false, reason: `The lab has no '${action}'; it has: ${Object.keys(LAB_TARGETS).join(', ')}.` });
      if (!targets.includes(target))
        return reply.code(400).send({ accepted: false, reason: `'${action}' acts on ${targets.join(' or ')}.` });
      const answer = await lab.request({ action, target });
      log(
        `console: lab ${action} ${target} from ${from(request, signIn !== null)}: ${answer.accepted ? 'accepted' : `refused: ${answer.reason}`}`,
      );
      return reply.code(answer.accepted ? 200 : 409).send(answer);
    },
  );
}

function registerSignIn(app: FastifyInstance, { log }: RouteOptions, signIn: NonNullable<RouteOptions['signIn']>): void {
  const limiter = new LoginLimiter();
  const { sessions, password, cookieName, nowMs } = signIn;
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
      log(`sign-in from ${request.ip}: ${check === 'right' ? 'accepted' : 'wrong password'}`);
      if (check === 'wrong') return reply.code(401).send({ accepted: false, reason: 'Wrong password.' });
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

function startLive(request: FastifyRequest, reply: FastifyReply, { live, signIn }: RouteOptions): void {
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

const token = (request: FastifyRequest, cookieName: string): string => cookieValue(request.headers.cookie, cookieName);

const from = (request: FastifyRequest, overTls: boolean): string => (overTls ? `the web console, ${request.ip}` : 'the local socket');
