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
//   POST /api/login, /api/logout (TLS only): guard.ts
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { PointVerb } from '../../core/restore-points.ts';
import { whyNotTyped } from '../action-views.ts';
import type { SettingsRequest } from '../settings-state.ts';
import { type GuardOptions, registerGuard, token } from './guard.ts';
import { LAB_TARGETS, type Lab } from './lab.ts';
import { registerSettings } from './settings-routes.ts';
import type { ActionArgs, ActionRequest, PointRequest, RequestAnswer, SnapshotSource } from './types.ts';
import { registerUpdate, type UpdateRequest } from './update-routes.ts';

export interface RouteOptions extends SnapshotSource, GuardOptions {
  request: ActionRequest;
  points: PointRequest | undefined;
  updates: UpdateRequest | undefined;
  settings: SettingsRequest | undefined;
  qualification: (() => object | null) | undefined;
  lab: Lab | undefined;
}

const NAME = { type: 'string', pattern: '^[a-z][a-zA-Z0-9-]{0,63}$' };
const ARGS = {
  type: 'object',
  maxProperties: 16,
  additionalProperties: { anyOf: [{ type: 'boolean' }, { type: 'number' }, { type: 'string', maxLength: 256 }] },
};

export function registerRoutes(app: FastifyInstance, options: RouteOptions): void {
  const { signIn } = options;
  registerGuard(app, options);
  app.get('/api/snapshot', async () => options.snapshot());
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

const from = (request: FastifyRequest, overTls: boolean): string => (overTls ? `the web console, ${request.ip}` : 'the local socket');
