// Settings over a console:
//   GET  /api/settings          {"groups": [{"name", "title", "now", "effect", "fields": [{"id", "label", "kind", "value", "choices"}], "whyNot"}]}
//   POST /api/settings/NAME     {"values": {"address": "192.0.2.30/24"}, "accept": false}: fields that are missing stay as they are; `accept`: what stands
//                               against it was read. 200 with detail {"text"}, or 409 with "reason", and "canForce" where `accept` would do it
// Values may be passwords: no log has them.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ChangeHow, type SettingsRequest, valuesOf } from '../settings-state.ts';
import { PASSWORD_MAX_CHARS } from './password.ts';

const VALUES_MAX = 8;

/** `asker`: by and session of a request. */
export function registerSettings(
  app: FastifyInstance,
  settings: SettingsRequest | undefined,
  {
    via,
    asker,
    log,
  }: { via: ChangeHow['via']; asker: (r: FastifyRequest) => { by: string; session: string }; log: (line: string) => void },
): void {
  if (!settings) return;
  app.get('/api/settings', async () => settings.picture());
  app.post<{ Params: { name: string }; Body: { values?: Record<string, string>; accept?: boolean } }>(
    '/api/settings/:name',
    {
      schema: {
        params: { type: 'object', properties: { name: { type: 'string', pattern: '^[a-z]{1,32}$' } } },
        body: {
          type: 'object',
          properties: {
            values: {
              type: 'object',
              maxProperties: VALUES_MAX,
              additionalProperties: { type: 'string', maxLength: PASSWORD_MAX_CHARS },
            },
            accept: { type: 'boolean' },
          },
          additionalProperties: false,
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { values = {}, accept = false } = request.body;
      const group = settings.picture().groups.find((g) => g.name === name);
      if (!group) return reply.code(404).send({ accepted: false, reason: `There is no setting '${name}'.` });
      const unknown = Object.keys(values).find((id) => !group.fields.some((f) => f.id === id));
      if (unknown !== undefined)
        return reply.code(400).send({
          accepted: false,
          reason: `There is no field '${unknown}'; there are: ${group.fields.map((f) => f.id).join(', ')}.`,
        });
      const answered = new Promise((resolve) => reply.raw.once('close', resolve));
      const { by, session } = asker(request);
      const answer = await settings.change(name, valuesOf(group, values), { via, by, session, isAccepted: accept, answered });
      log(`console: setting ${name} from ${by}: ${answer.accepted ? 'changed' : `refused: ${answer.reason}`}`);
      return reply.code(answer.accepted ? 200 : 409).send(answer);
    },
  );
}
