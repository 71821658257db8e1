// The witness as the core sees it: it helps when it answers and knows where the pair stands, and else there is a reason.
import { WitnessClient, type WitnessClientOptions } from '../../witness/client.ts';

export interface WitnessSightOptions extends Omit<WitnessClientOptions, 'onReachable' | 'onStanding'> {
  observed(usable: boolean, reason: string): void;
}

export function connectWitness({ observed, ...options }: WitnessSightOptions): WitnessClient {
  let sight = {
    reachable: false,
    reason: 'not connected yet',
    confirmed: false,
    doubt: 'it has not said yet where the pair stands',
  };
  const tell = () => {
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
