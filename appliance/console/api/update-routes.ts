// Updates over a console:
//   GET  /api/update                            what runs, what is in the other slot, what the next start takes; 404: no appliance
//   POST /api/update                            {"bytes": 190000000, "force": false} -> detail {"upload", "partBytes"}
//   POST /api/update/parts/UPLOAD/OFFSET        application/octet-stream, partBytes at most; the last one answers with detail {"version"}
//   POST /api/update/cancel                     {"upload": "..."}: no more of it comes, somebody else may begin
//   POST /api/update/rollback, /restart         {"force": false}
//   POST /api/update/pair                       {"action": "start", "mayRestartGuest": false}, {"action": "allowRestart"}, {"action": "stop"}: both CoServers
// GET also answers "pair" (null: no update of both was begun): {"target", "state": "sending" | "rolling" | "stopped" | "done", "text", "mayRestartGuest",
// "asksRestartGuest", "sent": null | {"bytes", "of", "bytesPerSecond"}, "partner"}, and "partner" (null: not heard): {"version", "onTrial", "received", "givenUp"}.
// 200 {"accepted": true, "detail"} or 409 {"accepted": false, "reason"}, with "canForce" where force would do it.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RequestAnswer } from './types.ts';

export type PairAction = 'start' | 'allowRestart' | 'stop';

export interface UpdateRequest {
  status(): Promise<object>;
  begin(bytes: number, force: boolean, by: string): RequestAnswer;
  part(upload: string, offset: number, data: Buffer): Promise<RequestAnswer>;
  cancel(upload: string): Promise<RequestAnswer>;
  rollback(force: boolean, by: string): Promise<RequestAnswer>;
  /** `answered`: when the restart may begin. */
  restart(force: boolean, by: string, answered?: Promise<unknown>): RequestAnswer;
  pair(action: PairAction, mayRestartGuest: boolean, by: string): Promise<RequestAnswer>;
}

const PART_LIMIT_BYTES = 1 << 20;
const MAX_UPDATE_BYTES = 2 ** 37;
const FORCE = { type: 'boolean' };
const UPLOAD = { type: 'string', pattern: '^[0-9a-f]{1,64}$' };

export function registerUpdate(app: FastifyInstance, updates: UpdateRequest | undefined, by: (request: FastifyRequest) => string): void {
  if (!updates) return;
  const codeOf = (answer: RequestAnswer) => (answer.accepted ? 200 : 409);
  app.get('/api/update', () => updates.status());
  app.post<{ Body: { bytes: number; force?: boolean } }>(
    '/api/update',
    {
      schema: {
        body: {
          type: 'object',
          required: ['bytes'],
          properties: { bytes: { type: 'integer', minimum: 1, maximum: MAX_UPDATE_BYTES }, force: FORCE },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const answer = updates.begin(request.body.bytes, request.body.force ?? false, by(request));
      return reply.code(codeOf(answer)).send(answer);
    },
  );
  app.post<{ Body: { upload: string } }>(
    '/api/update/cancel',
    { schema: { body: { type: 'object', required: ['upload'], properties: { upload: UPLOAD }, additionalProperties: false } } },
    async (request, reply) => {
      const answer = await updates.cancel(request.body.upload);
      return reply.code(codeOf(answer)).send(answer);
    },
  );
  app.post<{ Params: { verb: 'rollback' | 'restart' }; Body: { force?: boolean } }>(
    '/api/update/:verb',
    {
      schema: {
        params: { type: 'object', properties: { verb: { enum: ['rollback', 'restart'] } } },
        body: { type: 'object', properties: { force: FORCE }, additionalProperties: false },
      },
    },
    async (request, reply) => {
      const force = request.body.force ?? false;
      const answered = new Promise((resolve) => reply.raw.once('close', resolve));
      const answer =
        request.params.verb === 'rollback' ? await updates.rollback(force, by(request)) : updates.restart(force, by(request), answered);
      return reply.code(codeOf(answer)).send(answer);
    },
  );
  app.post<{ Body: { action: PairAction; mayRestartGuest?: boolean } }>(
    '/api/update/pair',
    {
      schema: {
        body: {
          type: 'object',
          required: ['action'],
          properties: { action: { enum: ['start', 'allowRestart', 'stop'] }, mayRestartGuest: FORCE },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const { action, mayRestartGuest = false } = request.body;
      const answer = await updates.pair(action, mayRestartGuest, by(request));
      return reply.code(codeOf(answer)).send(answer);
    },
  );
  // In a scope of its own: nowhere else is anything but JSON read.
  app.register(async (scope) => {
    scope.addContentTypeParser('application/octet-stream', { parseAs: 'buffer', bodyLimit: PART_LIMIT_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    scope.post<{ Params: { upload: string; offset: string }; Body: Buffer }>(
      '/api/update/parts/:upload/:offset',
      {
        bodyLimit: PART_LIMIT_BYTES,
        schema: {
          params: {
            type: 'object',
            properties: { upload: UPLOAD, offset: { type: 'string', pattern: '^\\d{1,12}$' } },
          },
        },
      },
      async (request, reply) => {
        const { upload, offset } = request.params;
        if (!Buffer.isBuffer(request.body)) return reply.code(415).send({ accepted: false, reason: 'A part is application/octet-stream.' });
        const answer = await updates.part(upload, Number(offset), request.body);
        return reply.code(codeOf(answer)).send(answer);
      },
    );
  });
}
