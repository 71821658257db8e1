// Figures as text, and three charts beside them. The page keeps its own short history of held output: the picture holds only the present.
import type { JSX } from 'preact';
import type { ConsoleModel } from '../model.ts';
import { Chart } from './charts.tsx';
import { Card, Facts } from './parts.tsx';

export interface HeldSample {
  at: number;
  oldestHeldMs: number;
}

/** Two minutes at two pictures a second. */
export const HELD_SAMPLES_MAX = 240;

export function Figures({ model, held }: { model: ConsoleModel; held: readonly HeldSample[] }): JSX.Element {
  const at = model.recent.map((r) => r.at);
  return (
    <Card title="Figures" class="figures">
      <div class="charts">
        <Chart title="Pause of the workload per checkpoint" at={at} values={model.recent.map((r) => r.pauseMs)} unit="ms" />
        <Chart title="Size of each checkpoint" at={at} values={model.recent.map((r) => r.bytes / 1e6)} unit="MB" />
        <Chart
          title="Output held back: the oldest frame waits"
          at={held.map((h) => h.at)}
          values={held.map((h) => h.oldestHeldMs)}
          unit="ms"
        />
      </div>
      <div class="figure-groups">
        {model.figures.map((group) => (
          <div key={group.title}>
            <h3>{group.title}</h3>
            <Facts facts={group.facts} />
          </div>
        ))}
      </div>
    </Card>
  );
}
