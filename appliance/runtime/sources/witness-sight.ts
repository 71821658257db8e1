// The witness as the core sees it: it helps when it answers and knows where the pair stands, and else there is a reason. Which one is asked can change
// while the process runs; between two of them none is asked.
import { WitnessClient, type WitnessClientOptions } from '../../witness/client.ts';

export interface WitnessSightOptions extends Omit<WitnessClientOptions, 'onReachable' | 'onStanding'> {
  observed(usable: boolean, reason: string): void;
}

type Place = Pick<WitnessClientOptions, 'address' | 'port'>;
type Client = Pick<WitnessClient, 'claim' | 'setReport' | 'close'>;

const BEING_CHANGED = 'the witness is being changed';

export class WitnessSight implements Client {
  readonly #options: WitnessSightOptions;
  #client: WitnessClient | null = null;
  #report: Parameters<WitnessClient['setReport']>[0] | null = null;

  constructor(options: WitnessSightOptions) {
    this.#options = options;
    this.moveTo(options);
  }

  /** Null: none, until the next call. No claim is on its way to the one before when this returns. */
  moveTo(place: Place | null): void {
    if (this.#client) this.#options.observed(false, BEING_CHANGED);
    this.#client?.close();
    this.#client = null;
    if (place === null) return;
    const client = connect({ ...this.#options, ...place }, () => this.#client === client);
    this.#client = client;
    if (this.#report) client.setReport(this.#report);
  }

  setReport(report: Parameters<WitnessClient['setReport']>[0]): void {
    this.#report = report;
    this.#client?.setReport(report);
  }

  claim(generation: number): ReturnType<WitnessClient['claim']> {
    return this.#client?.claim(generation) ?? Promise.reject(new Error(BEING_CHANGED));
  }

  close(): void {
    this.#client?.close();
  }
}

/** @param counts What one that was left still says does not. */
function connect({ observed, ...options }: WitnessSightOptions, counts: () => boolean): WitnessClient {
  let sight = {
    reachable: false,
    reason: 'not connected yet',
    confirmed: false,
    doubt: 'it has not said yet where the pair stands',
  };
  const tell = () => {
    if (!counts()) return;
    const usable = sight.reachable && sight.confirmed;
    const reason = usable ? '' : sight.reachable ? `it grants nothing yet: ${sight.doubt}` : sight.reason;
    observed(usable, reason);
  };
  return new WitnessClient({
    ...options,
    onReachable: (reachable, reason) => {
      sight = { ...sight, reachable, reason, confirmed: false };
      // When it answers it says within a moment where the pair stands.
      if (!reachable) tell();
    },
    onStanding: ({ confirmed, doubt }) => {
      sight = { ...sight, confirmed, doubt };
      tell();
    },
  });
}
