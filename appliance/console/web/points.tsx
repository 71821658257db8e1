// The restore points: taken, removed, gone back to.
import type { JSX } from 'preact';
import type { ConsoleModel } from '../model.ts';
import { ActionButton } from './actions.tsx';
import { type AskButtonProps, Card, Mark } from './parts.tsx';

interface PointsProps {
  model: ConsoleModel;
  onAnswer: AskButtonProps['onAnswer'];
}

export function Points({ model: { points }, onAnswer }: PointsProps): JSX.Element {
  return (
    <Card
      class="restore-points"
      title={
        <>
          <Mark tone={points.tone} /> Restore points: {points.brief}
        </>
      }
    >
      {points.take && (
        <p>
          <ActionButton action={points.take} onAnswer={onAnswer} />
          {points.take.reason !== '' && <span class="quiet">{points.take.reason}</span>}
        </p>
      )}
      <ul class="plain">
        {points.points.map((p) => (
          <li key={p.key}>
            <p>
              <Mark tone={p.tone} /> <strong>{p.name}</strong>
              <time class="quiet">, {p.when} UTC</time>
              <br />
              <span class="quiet">
                {p.kind}, on {p.on}, keeps {p.kept} here{p.inUse ? ', being read now' : ''}
              </span>
            </p>
            {p.trouble !== '' && <p>{p.trouble.charAt(0).toUpperCase() + p.trouble.slice(1)}</p>}
            {p.actions
              .filter((a) => a.allowed)
              .map((a) => (
                <ActionButton key={a.name} action={a} onAnswer={onAnswer} />
              ))}
          </li>
        ))}
      </ul>
      {points.more > 0 && <p class="quiet">and {points.more} older ones</p>}
      {points.whyNotBack !== '' && <p class="quiet">To go back to one: {points.whyNotBack}</p>}
    </Card>
  );
}
