// The first start of two appliances with cables between them, from power-on to a configured pair.
import { randomBytes } from 'node:crypto';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { espFiles } from '../../../image/disk/boot-files.ts';
import { answersFor, byHand, portsOf, unattended } from './first-start.ts';
import type { ApplianceMachine, MachineExtras } from './machine.ts';
import type { Stage, Tale } from './stage.ts';

export const answersTale: Tale = async (stage) => {
  stage.say('two servers with an answer file each (fw_cfg, SMBIOS), from power-on to a pair');
  const secret = randomBytes(16).toString('hex');
  await bootTwo(
    stage,
    (name): Record<string, string> => (name === 'A' ? { answers: answersFor('A', secret) } : {}),
    async ({ A, B }) => void (await Promise.all([unattended('A', A, stage.say), unattended('B', B, stage.say)])),
    (name) => (name === 'B' ? { oemStrings: [`org.twinstep.answers=${Buffer.from(answersFor('B', secret)).toString('base64')}`] } : {}),
  );
};

export const serialTale: Tale = async (stage) => {
  stage.say('two servers, and somebody at both serial lines');
  await bootTwo(
    stage,
    () => ({}),
    (machines) => byHand(machines, stage.say),
  );
};

/** Two machines with cables between them, from an empty disk on; both until both are through. */
export async function bootTwo(
  stage: Stage,
  given: (name: CoServerName) => Record<string, string>,
  tale: (machines: Readonly<Record<CoServerName, ApplianceMachine>>) => Promise<void>,
  more: (name: CoServerName) => MachineExtras = () => ({}),
): Promise<void> {
  const { built, tools } = stage;
  const content = { files: espFiles(tools, [built]), slots: { a: built.slot } };
  const [a, b] = [stage.disk(content), stage.disk(content)];
  await stage.boot(
    a,
    given('A'),
    (A) => stage.boot(b, given('B'), (B) => tale({ A, B }), { ports: portsOf('B', b.directory, a.directory), ...more('B') }),
    {
      ports: portsOf('A', a.directory, b.directory),
      ...more('A'),
    },
  );
}
