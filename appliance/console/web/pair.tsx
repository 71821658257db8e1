// The pair as a drawing: the two CoServers, the links between them, who decides below; in the lab with buttons at what they act on.
import type { JSX } from 'preact';
import type { ArbiterModel, ConsoleModel, CoServerModel, LinkModel } from '../model.ts';
import { NO_ANSWER, post } from './connection.ts';
import { AskButton, type AskButtonProps, Facts, Mark } from './parts.tsx';

type OnAnswer = AskButtonProps['onAnswer'];

interface PairProps {
  model: ConsoleModel;
  onAnswer: OnAnswer;
}

export function Pair({ model, onAnswer }: PairProps): JSX.Element {
  const [a, b] = model.coServers;
  return (
    <section class="pair" aria-label="The pair">
      {a && <CoServer server={a} model={model} onAnswer={onAnswer} />}
      <div class="between">
        {model.links.map((link, index) => (
          <Link key={link.name} link={link} number={index + 1} lab={model.lab} onAnswer={onAnswer} />
        ))}
        <Arbiter arbiter={model.arbiter} />
      </div>
      {b && <CoServer server={b} model={model} onAnswer={onAnswer} />}
    </section>
  );
}

function Arbiter({ arbiter }: { arbiter: ArbiterModel }): JSX.Element {
  return (
    <div class={`arbiter ${arbiter.tone}`}>
      <p>
        <Mark tone={arbiter.tone} />
        <strong>Arbiter: {arbiter.word}</strong>
      </p>
      <p>{arbiter.sentence}</p>
      <Facts facts={arbiter.facts} />
    </div>
  );
}

const REPLICA: Readonly<Record<NonNullable<CoServerModel['replica']>, string>> = {
  primary: 'primary',
  secondary: 'secondary',
  unproven: 'secondary, not proven',
  unfit: 'secondary, unfit',
};

function CoServer({ server, model, onAnswer }: { server: CoServerModel; model: ConsoleModel; onAnswer: OnAnswer }): JSX.Element {
  const { name } = server;
  return (
    <article class={`coserver ${server.tone} ${server.present ? '' : 'absent'}`} aria-label={`CoServer ${name}`}>
      <header>
        <Mark tone={server.tone} />
        <h2>CoServer {name}</h2>
        {server.here && <span class="tag">this console</span>}
      </header>
      <p class="part">{server.part}</p>
      {server.replica !== null && (
        <p class={`guest ${server.replica}`}>
          {model.workload.name} <small>{REPLICA[server.replica]}</small>
        </p>
      )}
      <p class="sentence">{server.sentence}</p>
      <Facts facts={[{ label: 'Phase', value: server.phase, tone: 'info' }, ...server.facts]} />
      {model.lab && (
        <fieldset class="lab" aria-label={`Lab: CoServer ${name}`}>
          <LabButton action="power-off" target={name} label={`Power off ${name}`} silences={server.here} onAnswer={onAnswer} />
          <LabButton action="power-on" target={name} label={`Power on ${name}`} onAnswer={onAnswer} />
          <LabButton action="freeze" target={name} label={`Freeze ${name}`} silences={server.here} onAnswer={onAnswer} />
          <LabButton action="thaw" target={name} label={`Thaw ${name}`} onAnswer={onAnswer} />
        </fieldset>
      )}
    </article>
  );
}

function Link({ link, number, lab, onAnswer }: { link: LinkModel; number: number; lab: boolean; onAnswer: OnAnswer }): JSX.Element {
  return (
    <div class={`link ${link.up ? 'up' : 'down'}`}>
      <p class="link-name">
        <Mark tone={link.tone} />
        <strong>{link.name}</strong> <span class="quiet">{link.nic}</span>
      </p>
      <div class="wire" aria-hidden="true">
        <span class="cut">✕</span>
      </div>
      <p class="link-detail">{link.detail}</p>
      {link.dropped !== '' && <p class="link-detail quiet">{link.dropped}</p>}
      {lab && (
        <fieldset class="lab" aria-label={`Lab: ${link.name}`}>
          <LabButton action="cut-link" target={String(number)} label={`Cut link ${number}`} onAnswer={onAnswer} />
          <LabButton action="mend-link" target={String(number)} label={`Mend link ${number}`} onAnswer={onAnswer} />
        </fieldset>
      )}
    </div>
  );
}

interface LabButtonProps {
  action: string;
  target: string;
  label: string;
  /** It stops the very server that is asked: no answer is what to expect. */
  silences?: boolean;
  onAnswer: OnAnswer;
}

function LabButton({ action, target, label, silences = false, onAnswer }: LabButtonProps): JSX.Element {
  const ask = async (): Promise<string | null> => {
    const refusal = await post(`/api/lab/${action}`, { target });
    return silences && refusal === NO_ANSWER ? null : refusal;
  };
  return <AskButton label={label} ask={ask} onAnswer={onAnswer} />;
}
