// The live state of the pair on a terminal: what `npm start` shows. Pure: facts in, lines out.
import type { Snapshot, TimelineEntry } from '../../appliance/core/snapshot.ts';
import { describeStatus, type LabStatus, leadingPicture } from './describe.ts';
import { CO_SERVERS, LINKS } from './settings.ts';

const EVENT_LINES = 8;

export interface ScreenFacts {
  status: LabStatus;
  password: string;
  /** What the lab itself did last, oldest first. */
  labEvents: readonly { at: number; text: string }[];
}

const clock = (at: number) => new Date(at).toTimeString().slice(0, 8);

/** The events of both CoServers and of the lab, newest last; the CoServers' clocks are this machine's. */
function latestEvents(pictures: readonly (Snapshot | null)[], labEvents: ScreenFacts['labEvents']): string[] {
  const seen = new Map<string, TimelineEntry>();
  for (const picture of pictures)
    for (const entry of picture?.timeline ?? []) seen.set(`${entry.coServer} ${entry.at} ${entry.text}`, entry);
  const mark = { info: ' ', warning: '!', critical: '*' } as const;
  const lines = [...seen.values()].map((e) => ({ at: e.at, text: `${mark[e.severity]} ${e.coServer}    ${e.text}` }));
  lines.push(...labEvents.map((e) => ({ at: e.at, text: `  lab  ${e.text}` })));
  return lines
    .sort((a, b) => a.at - b.at)
    .slice(-EVENT_LINES)
    .map((l) => `${clock(l.at)} ${l.text}`);
}

function keyHelp({ lab }: LabStatus): string {
  const power = CO_SERVERS.map((name) => `${name.toLowerCase()} power ${name} ${lab.coServers[name].powered ? 'off' : 'on'}`);
  const links = LINKS.map((l) => `${l} ${lab.links[l] === 'up' ? 'cut' : 'mend'} link ${l}`);
  const freeze = CO_SERVERS.map((name, i) => `${'fg'[i]} ${lab.coServers[name].frozen === 'no' ? 'freeze' : 'thaw'} ${name}`);
  return [...power, ...links, ...freeze, 'q quit'].join('   ');
}

/** At most `rows` lines of at most `columns` characters. */
export function renderScreen(facts: ScreenFacts, columns: number, rows: number): string[] {
  const { status } = facts;
  const pictures = CO_SERVERS.map((name) => status.coServers[name]);
  const picture = leadingPicture(status);
  const lines = [
    'Twinstep: a pair on this machine',
    '',
    ...describeStatus(status).split('\n'),
    ...(picture?.singlePoints ?? []).map((p) => `! ${p}`),
    '',
    ...latestEvents(pictures, facts.labEvents),
    '',
    `web consoles  ${CO_SERVERS.map((name) => `${name} ${status.lab.coServers[name].web}`).join('   ')}   password ${facts.password}`,
    keyHelp(status),
  ];
  return lines.slice(-rows).map((line) => (line.length > columns ? `${line.slice(0, Math.max(0, columns - 1))}…` : line));
}
