// The control stream: each CoServer tells the other what it is (PartnerStatus), at every change and as a reminder, and what
// was found broken (incidents), what its server is made of (facts), and which settings it wants both to have.
import { setTrafficClass } from '../../../drivers/ethernet/index.ts';
import { type Channel, PairChannel } from '../../../drivers/link/index.ts';
import type { PartnerStatus } from '../../core/machine.ts';
import { type ChannelSetup, STREAM_PORTS, STREAM_PRIORITIES } from '../../wire/channel-setup.ts';
import { deriveKey } from '../../wire/keys.ts';
import { CONTROL_MESSAGE_MAX_BYTES, type FactsMessage, parseFactsMessage } from '../../wire/partner-facts.ts';
import { type IncidentMessage, parseIncidentMessage } from '../../wire/partner-incident.ts';
import { parseSettingsMessage, type SettingsMessage } from '../../wire/partner-settings.ts';
import { parsePartnerStatus } from '../../wire/partner-status.ts';

const REMIND_EVERY_MS = 500;
/** Messages about incidents that wait for a link. */
const WAITING_LIMIT = 20;
/** A stranger knocks, and a partner of another release reminds, for days: each is told once, then once in so long, so that it does not push all else out of the record. */
const QUIET_MS = 10 * 60_000;

export class ControlStream {
  readonly #channel: Channel;
  readonly #timer: NodeJS.Timeout;
  #latest: PartnerStatus | null = null;
  #waiting: string[] = [];
  #facts: string | null = null;
  #factsAreTold = false;
  readonly #toldAt = new Map<'stranger' | 'misunderstood', number>();

  constructor(
    setup: ChannelSetup,
    on: {
      status: (s: PartnerStatus) => void;
      incident: (m: IncidentMessage) => void;
      /** What it throws is a message that cannot be understood. */
      facts: (m: FactsMessage) => void;
      settings: (m: SettingsMessage) => void;
      problem: (text: string) => void;
    },
  ) {
    this.#channel = new PairChannel({
      side: setup.side,
      port: STREAM_PORTS.control,
      links: setup.links,
      key: deriveKey(setup.pairKey, 'stream:control'),
      onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.control),
    });
    this.#channel.on('message', (message) => {
      try {
        if (message.length > CONTROL_MESSAGE_MAX_BYTES) throw new Error(`a message of ${message.length} bytes`);
        const said: unknown = JSON.parse(message.toString('utf8'));
        const incident = parseIncidentMessage(said);
        const facts = incident ? null : parseFactsMessage(said);
        const settings = incident || facts ? null : parseSettingsMessage(said);
        if (incident) on.incident(incident);
        else if (facts) on.facts(facts);
        else if (settings) on.settings(settings);
        else on.status(parsePartnerStatus(said));
      } catch (e) {
        this.#tellSeldom('misunderstood', () =>
          on.problem(`The partner said something that cannot be understood: ${(e as Error).message}`),
        );
      }
    });
    // Whoever is there now may not have heard them.
    for (const news of ['up', 'reset'] as const)
      this.#channel.on(news, () => {
        this.#factsAreTold = false;
        this.#send();
      });
    this.#channel.on('stranger', (address, message) =>
      this.#tellSeldom('stranger', () => on.problem(`A stranger at ${address} was refused: ${message}`)),
    );
    this.#timer = setInterval(() => this.#send(), REMIND_EVERY_MS);
  }

  say(status: PartnerStatus): void {
    this.#latest = status;
    this.#send();
  }

  /** Text of a message about an incident: sent now, or when the partner is heard again. */
  tell(text: string): void {
    this.#waiting = [...this.#waiting, text].slice(-WAITING_LIMIT);
    this.#send();
  }

  /** Text of what this server is made of: sent now, and whenever the stream is up again. */
  tellFacts(text: string): void {
    this.#facts = text;
    this.#factsAreTold = false;
    this.#send();
  }

  linkVerdict(link: number, up: boolean): void {
    this.#channel.linkVerdict(link, up);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#channel.close();
  }

  #tellSeldom(kind: 'stranger' | 'misunderstood', tell: () => void): void {
    const now = performance.now();
    if (now - (this.#toldAt.get(kind) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    this.#toldAt.set(kind, now);
    tell();
  }

  #send(): void {
    if (!this.#channel.isUp) return;
    if (this.#latest) this.#channel.send(Buffer.from(JSON.stringify(this.#latest)));
    if (this.#facts !== null && !this.#factsAreTold) {
      this.#factsAreTold = true;
      this.#channel.send(Buffer.from(this.#facts));
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const text of waiting) this.#channel.send(Buffer.from(text));
  }
}
