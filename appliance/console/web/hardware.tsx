// The hardware: what is wrong and what to replace, what is read, whether the two servers are equal enough.
import type { JSX } from 'preact';
import type { FaultModel, HardwareModel, QualificationModel } from '../model.ts';
import { Card, Facts, Mark } from './parts.tsx';

export function Hardware({ hardware: h }: { hardware: HardwareModel | null }): JSX.Element | null {
  if (!h) return null;
  return (
    <Card
      class="hardware"
      title={
        <>
          <Mark tone={h.tone} /> Hardware: {h.word}
        </>
      }
    >
      <p>{h.sentence}</p>
      {h.faults.length > 0 && (
        <ul class="plain faults">
          {h.faults.map((f) => (
            <Fault key={f.key} fault={f} />
          ))}
        </ul>
      )}
      <Qualification qualification={h.qualification} />
      <div class="readings">
        {h.readings.map((g) => (
          <div key={g.title} class={g.kind}>
            <h3>{g.title}</h3>
            <Facts facts={g.facts} />
          </div>
        ))}
        {h.sources.length > 0 && (
          <div class="parts">
            <h3>What is read, and how that goes</h3>
            <Facts facts={h.sources} />
          </div>
        )}
        {h.server.length > 0 && (
          <div class="parts">
            <h3>This server</h3>
            <Facts facts={h.server} />
          </div>
        )}
      </div>
      {h.more !== '' && <p class="quiet">{h.more}</p>}
    </Card>
  );
}

function Fault({ fault }: { fault: FaultModel }): JSX.Element {
  return (
    <li class={fault.tone}>
      <h3>
        <Mark tone={fault.tone} /> {fault.title}
      </h3>
      <Facts facts={fault.facts} />
      {fault.evidence.length > 0 && (
        <details>
          <summary>What was read before</summary>
          <p>{fault.evidence.join('; then ')}</p>
        </details>
      )}
    </li>
  );
}

function Qualification({ qualification: q }: { qualification: QualificationModel }): JSX.Element {
  return (
    <div class="qualification">
      <h3>
        <Mark tone={q.tone} /> Qualification: {q.word}
      </h3>
      <p>{q.sentence}</p>
      {q.items.length > 0 && (
        <details open={q.tone === 'critical'}>
          <summary>What was compared</summary>
          <ul class="plain items">
            {q.items.map((i) => (
              <li key={i.key}>
                <p>
                  <Mark tone={i.tone} /> <strong>{i.item}</strong>: {i.verdict}
                </p>
                {i.verdict === 'identical' ? (
                  <p class="quiet">{i.a}</p>
                ) : (
                  <p class="quiet">
                    A: {i.a}
                    <br />
                    B: {i.b}
                    <br />
                    {i.rule}
                  </p>
                )}
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
