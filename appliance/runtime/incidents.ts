// Incidents: a replica was found broken. Whoever finds it keeps it with what it saw, and tells the partner, who adds the last words
// of its guest's console. Both keep both halves, so that either console shows the whole.
import type { CoServerName } from '../core/snapshot.ts';
import type { IncidentKind } from '../core/state.ts';
import {
  EVIDENCE_LINES,
  encodeEvidence,
  encodeIncident,
  type Incident,
  type IncidentMessage,
  LINE_CHARACTERS,
} from '../wire/partner-incident.ts';
import type { History } from './history.ts';

/** Each side's half of the evidence. */
const CONSOLE_LINES = EVIDENCE_LINES / 2 - 2;

export interface IncidentPorts {
  coServer: CoServerName;
  history: History;
  /** The console of the replica that runs, or ran last, on this CoServer. */
  guestConsole: () => Promise<string>;
  send: (message: string) => void;
}

export class Incidents {
  readonly #p: IncidentPorts;

  constructor(ports: IncidentPorts) {
    this.#p = ports;
  }

  async raise(kind: IncidentKind, sentence: string): Promise<void> {
    const { coServer, history, send } = this.#p;
    const at = Date.now();
    history.add({ severity: 'critical', row: '31', text: sentence });
    const incident: Incident = { id: `${coServer}-${at}`, at, coServer, kind, sentence, evidence: await this.#ownLines() };
    history.addIncident(incident);
    send(encodeIncident(incident));
  }

  async fromPartner(message: IncidentMessage): Promise<void> {
    const { history, send } = this.#p;
    if (message.kind === 'evidence') {
      history.addEvidence(message.id, message.lines);
      return;
    }
    const lines = await this.#ownLines();
    history.addIncident({ ...message.incident, evidence: [...message.incident.evidence, ...lines].slice(0, EVIDENCE_LINES) });
    send(encodeEvidence(message.incident.id, lines));
  }

  async #ownLines(): Promise<string[]> {
    const { coServer, guestConsole } = this.#p;
    const text = await guestConsole();
    const lines = text
      .replaceAll(/[^\n\x20-\x7e]/g, '')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-CONSOLE_LINES)
      .map((line) => line.slice(0, LINE_CHARACTERS));
    return [`The guest's console on ${coServer}${lines.length > 0 ? ', last lines:' : ' said nothing.'}`, ...lines];
  }
}
