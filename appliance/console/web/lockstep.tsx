// How output leaves, whether the secondary is fit to take over, and which replicas were found broken.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { AuditModel, ConsoleModel, IncidentModel, ModeModel } from '../model.ts';
import { Actions } from './actions.tsx';
import { type AskButtonProps, Card, Facts, Mark } from './parts.tsx';

interface LockstepProps {
  model: ConsoleModel;
  onAnswer: AskButtonProps['onAnswer'];
}

export function Lockstep({ model, onAnswer }: LockstepProps): JSX.Element {
  const { mode, audit, incidents } = model;
  return (
    <div class="columns">
      <div>
        <Mode mode={mode} model={model} onAnswer={onAnswer} />
      </div>
      <div>
        {audit && <Audit audit={audit} />}
        <Incidents incidents={incidents} />
      </div>
    </div>
  );
}

function Mode({ mode, model, onAnswer }: LockstepProps & { mode: ModeModel }): JSX.Element {
  return (
    <Card
      class="mode"
      title={
        <>
          <Mark tone={mode.tone} /> Mode: {mode.word}
        </>
      }
    >
      <p>{mode.sentence}</p>
      <Facts facts={mode.facts} />
      <Actions actions={model.actions} groups={['mode']} onAnswer={onAnswer} />
      {mode.causes.length > 0 && (
        <table class="causes">
          <thead>
            <tr>
              <th scope="col">Why checkpoints were asked for</th>
              <th scope="col">per minute</th>
              <th scope="col">total</th>
            </tr>
          </thead>
          <tbody>
            {mode.causes.map((c) => (
              <tr key={c.key}>
                <th scope="row">{c.label}</th>
                <td>{c.perMinute}</td>
                <td>{c.total}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}

function Audit({ audit }: { audit: AuditModel }): JSX.Element {
  return (
    <Card
      class="audit"
      title={
        <>
          <Mark tone={audit.tone} /> Audit of the secondary: {audit.word}
        </>
      }
    >
      <p>{audit.sentence}</p>
      <Facts facts={audit.facts} />
    </Card>
  );
}

/** More would push the rest of the page out of sight. */
const FIRST_INCIDENTS = 3;

function Incidents({ incidents }: { incidents: readonly IncidentModel[] }): JSX.Element {
  const [all, setAll] = useState(false);
  const shown = all ? incidents : incidents.slice(0, FIRST_INCIDENTS);
  return (
    <Card title="Incidents" class="incidents">
      {incidents.length === 0 && <p class="quiet">No replica was found broken so far.</p>}
      <ol class="plain">
        {shown.map((i) => (
          <li key={i.key} class="incident">
            <p class="quiet">
              <Mark tone="warning" />
              <time>
                {i.date} {i.clock} UTC
              </time>{' '}
              CoServer {i.coServer}
            </p>
            <p>
              <strong>{i.found}:</strong> {i.sentence}
            </p>
            {i.evidence.length > 0 && (
              <details>
                <summary>What was seen</summary>
                {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
                <pre tabIndex={0}>{i.evidence.join('\n')}</pre>
              </details>
            )}
          </li>
        ))}
      </ol>
      {incidents.length > FIRST_INCIDENTS && (
        <button type="button" class="more" onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? 'Show fewer' : `Show all ${incidents.length}`}
        </button>
      )}
    </Card>
  );
}
