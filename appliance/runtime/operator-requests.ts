// What an operator asks for at any console: only what is offered now; who does it is the first that knows the action, or the core.
import type { ActionRequest, RequestAnswer } from '../console/api/index.ts';
import type { ActionView } from '../core/snapshot.ts';

/** Null: another one's. */
export type ActionDoer = (action: string, by: string) => Promise<RequestAnswer> | RequestAnswer | null;

/** @param core Takes what nobody else does; what comes of it stands in the history. */
export function operatorRequests(
  offered: () => readonly ActionView[],
  doers: readonly ActionDoer[],
  core: (action: string, by: string) => void,
): ActionRequest {
  return async (action, _args, by) => {
    const found = offered().find((a) => a.name === action);
    if (!found) return { accepted: false, reason: `There is no action '${action}'.` };
    if (!found.allowed) return { accepted: false, reason: found.reason };
    for (const does of doers) {
      const answer = does(action, by);
      if (answer !== null) return await answer;
    }
    core(action, by);
    return { accepted: true };
  };
}
