// The control stream's messages: the README's examples are what the code takes, field by field, and nothing else.
import fc from 'fast-check';
import t from 'tap';
import { encodeEvidence, encodeIncident, parseIncidentMessage } from '../../../../appliance/wire/partner-incident.ts';
import { parsePartnerStatus } from '../../../../appliance/wire/partner-status.ts';
import { exampleJson } from './readme-examples.ts';

const README = 'appliance/wire/README.md';
const STATUS = exampleJson(README, 'partner-status') as Record<string, unknown>;

t.test('the examples of the README', async (t) => {
  // A field that the parser does not return is not in the protocol; one that it adds is not in the README.
  t.strictSame(parsePartnerStatus(STATUS), STATUS);
  t.equal(parseIncidentMessage(STATUS), null);
  const incident = parseIncidentMessage(exampleJson(README, 'incident'));
  if (incident?.kind !== 'incident') throw new Error('no incident');
  t.strictSame(JSON.parse(encodeIncident(incident.incident)), exampleJson(README, 'incident'));
  const evidence = parseIncidentMessage(exampleJson(README, 'evidence'));
  if (evidence?.kind !== 'evidence') throw new Error('no evidence');
  t.strictSame(JSON.parse(encodeEvidence(evidence.id, evidence.lines)), exampleJson(README, 'evidence'));
});

t.test('a field of a wrong kind is an error that names it; anything may come', async (t) => {
  for (const [field, value] of [
    ['coServer', 'C'],
    ['phase', 'asleep'],
    ['revision', -1],
    ['incarnation', 'x'.repeat(65)],
    ['record', null],
  ] as const)
    t.throws(() => parsePartnerStatus({ ...STATUS, [field]: value }), new RegExp(field), field);
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const parse of [parsePartnerStatus, parseIncidentMessage])
        try {
          parse(value);
        } catch (error) {
          if (error instanceof TypeError || error instanceof RangeError) throw error;
        }
    }),
    { numRuns: 2000 },
  );
});
