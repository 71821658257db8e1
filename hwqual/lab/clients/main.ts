// The clients of the lab: one process, started inside the LAN's network namespace. Requests come on stdin, answers and notices
// go to stdout, one JSON value per line (protocol.ts). It ends when its stdin does: nothing is left behind.
import { createInterface } from 'node:readline';
import { CrowdOfClients } from './crowd.ts';
import type { Answer, Notice, Request } from './protocol.ts';

const SAMPLE_MS = 500;
const CHECK_MS = 100;

function write(message: Answer | Notice): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const crowd = new CrowdOfClients((incident) => write({ notice: 'incident', incident }));

async function obey(request: Request): Promise<unknown> {
  switch (request.request) {
    case 'open':
      return crowd.open(request.target, request.clients, request.cohort);
    case 'takeover':
      return crowd.takeover(request.at);
    case 'ages':
      return crowd.ages();
    case 'retire':
      return crowd.retire(request.cohort);
    case 'mark':
      return crowd.mark(request.label);
    case 'verifyRecords':
      return crowd.verifyRecords();
    case 'acknowledged':
      return crowd.acknowledged();
    case 'stop':
      return crowd.stop();
    default: {
      const unknown: never = request;
      throw new Error(`unknown request ${JSON.stringify(unknown)}`);
    }
  }
}

setInterval(() => crowd.check(), CHECK_MS);
setInterval(() => write({ notice: 'sample', sample: crowd.sample() }), SAMPLE_MS);

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const request: Request = JSON.parse(line);
  obey(request).then(
    (result) => write({ id: request.id, result: result ?? null }),
    (error: unknown) => write({ id: request.id, error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on('close', () => process.exit(0));
