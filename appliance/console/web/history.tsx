// What happened: the last takeover to the millisecond, and the events with their reasons.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { EventModel, TakeoverModel } from '../model.ts';
import { Card, Facts, Mark } from './parts.tsx';

export function Takeover({ takeover: t }: { takeover: TakeoverModel | null }): JSX.Element {
  if (!t)
    return (
      <Card title="Last takeover">
        <p class="quiet">No takeover and no loss of the partner so far.</p>
      </Card>
    );
  return (
    <Card title="Last takeover" class="takeover">
      <p>
        <strong>
          {t.title}, done {t.total} after the loss was noticed
        </strong>{' '}
        <span class="quiet">{t.when}</span>
      </p>
      <p>{t.reason}</p>
      <p class="quiet">Decided by {t.row}</p>
      <ol class="steps">
        {t.steps.map((s) => (
          <li key={`${s.atMs}-${s.step}`}>
            <span class="step-at">{s.at}</span>
            <span class="step-name">
              {s.step} <span class="quiet">{s.took}</span>
            </span>
            <svg class="step-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
              <rect class="rail" x="0" y="0" width="100" height="6" />
              <rect x={Math.min(99, s.start * 100)} y="0" width={Math.max(1, s.width * 100)} height="6" />
            </svg>
          </li>
        ))}
      </ol>
      {t.earlier.length > 0 && (
        <details>
          <summary>Earlier</summary>
          <ul class="plain">
            {t.earlier.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
    </Card>
  );
}

const FIRST_EVENTS = 12;

export function Events({ events }: { events: readonly EventModel[] }): JSX.Element {
  const [all, setAll] = useState(false);
  const shown = all ? events : events.slice(0, FIRST_EVENTS);
  return (
    <Card title="Events" class="events">
      {events.length === 0 && <p class="quiet">Nothing has happened yet.</p>}
      <ol class="plain" aria-live="polite" aria-relevant="additions">
        {shown.map((e, i) => (
          <li key={e.key} class={e.tone}>
            {e.date !== shown[i - 1]?.date && <p class="day">{e.date} UTC</p>}
            <Mark tone={e.tone} />
            <time>{e.clock}</time>
            <span class="who">{e.coServer}</span>
            <div class="what">
              {e.text} {e.row !== '' && <span class="quiet">({e.row})</span>}
              {e.evidence.length > 0 && (
                <details>
                  <summary>What was known</summary>
                  <Facts facts={e.evidence} />
                </details>
              )}
            </div>
          </li>
        ))}
      </ol>
      {events.length > FIRST_EVENTS && (
        <button type="button" onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? 'Show fewer' : `Show all ${events.length}`}
        </button>
      )}
    </Card>
  );
}
