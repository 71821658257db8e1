// What may be asked for: one button each, with the reason why it may not be, or with the word that it needs.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { shownOf } from '../action-views.ts';
import { type ActionGroup, type ActionModel, actionGroups, type ConsoleModel } from '../model.ts';
import { ask } from './connection.ts';
import { AskButton, type AskButtonProps, Card, Mark } from './parts.tsx';
import { TypedButton } from './typed-dialog.tsx';

type OnAnswer = AskButtonProps['onAnswer'];

interface ActionButtonProps {
  action: ActionModel;
  onAnswer: OnAnswer;
  /** `typed`: the word that was typed for it, or ''. Missing: the core is asked. */
  ask?: (typed: string) => Promise<string | null>;
}

export function ActionButton({ action, onAnswer, ask }: ActionButtonProps): JSX.Element {
  const [shown, setShown] = useState('');
  const request = ask ?? ((typed: string) => askCore(action.name, typed, setShown));
  if (action.typed) return <TypedButton action={action} typed={action.typed} ask={request} onAnswer={onAnswer} />;
  return (
    <>
      <AskButton
        label={action.label}
        confirm={`Press again: ${action.label.charAt(0).toLowerCase()}${action.label.slice(1)}`}
        disabled={!action.allowed}
        ask={() => request('')}
        onAnswer={onAnswer}
      />
      {shown !== '' && <ShownDialog title={action.label} text={shown} onClose={() => setShown('')} />}
    </>
  );
}

/** Answers null or the refusal's reason. @param onShow Of lines that are for whoever asked. */
async function askCore(name: string, typed: string, onShow: (text: string) => void): Promise<string | null> {
  const answer = await ask(`/api/actions/${name}`, typed === '' ? {} : { typed });
  const show = shownOf(answer);
  if (show !== '') onShow(show);
  return answer.accepted ? null : (answer.reason ?? '');
}

/** For whoever asked: gone with the dialog. */
function ShownDialog({ title, text, onClose }: { title: string; text: string; onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="typed" aria-labelledby="shown-title" onClose={onClose}>
      <h2 id="shown-title">{title}</h2>
      <p>To be treated as a password.</p>
      <pre>{text}</pre>
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  );
}

interface ActionsProps {
  actions: readonly ActionModel[];
  groups: readonly ActionGroup[];
  onAnswer: OnAnswer;
}

/** Each with the reason why it may or may not be asked for. Several groups have their names above them. */
export function Actions({ actions, groups, onAnswer }: ActionsProps): JSX.Element {
  const shown = actionGroups(actions, true).filter((g) => groups.includes(g.group));
  return (
    <>
      {shown.map((g) => (
        <div key={g.group} class="action-group">
          {groups.length > 1 && <h3>{g.title}</h3>}
          <ul class="plain actions">
            {g.actions.map((a) => (
              <li key={a.name}>
                <ActionButton action={a} onAnswer={onAnswer} />
                {a.reason !== '' && <span class="quiet">{a.reason}</span>}
              </li>
            ))}
          </ul>
        </div>
      ))}
    </>
  );
}

/** What is going on and what can be done: in large letters, the buttons beside the words. */
export function Attention({ model, onAnswer }: { model: ConsoleModel; onAnswer: OnAnswer }): JSX.Element | null {
  if (model.attention.length === 0) return null;
  return (
    <section class="attention" aria-label="What needs you" aria-live="polite">
      {model.attention.map((a) => (
        <article key={a.key} class={a.tone}>
          <h2>
            <Mark tone={a.tone} /> {a.title}
          </h2>
          <p>{a.sentence}</p>
          {a.ends !== '' && <p>{a.ends}</p>}
          {a.ways.length > 0 && (
            <ul class="plain ways">
              {a.ways.map((w) => (
                <li key={w.text}>
                  <span>{w.text}</span>
                  {w.action && (
                    <span class="way">
                      <ActionButton action={w.action} onAnswer={onAnswer} />
                      <span class="quiet">{w.action.allowed ? w.action.typed?.meaning : w.action.reason}</span>
                    </span>
                  )}
                </li>
              ))}
            </ul>
          )}
          {a.row !== '' && <p class="quiet">Decided by {a.row}</p>}
        </article>
      ))}
    </section>
  );
}

/** Out of sight until one of them is possible, or somebody looks for it. */
export function Emergency({ model, onAnswer }: { model: ConsoleModel; onAnswer: OnAnswer }): JSX.Element | null {
  const actions = model.actions.filter((a) => a.group === 'emergency');
  if (actions.length === 0) return null;
  const possible = actions.some((a) => a.allowed);
  return (
    <Card title="Emergency" class="emergency">
      <details open={possible}>
        <summary>{possible ? 'What can be forced now' : 'What could be forced'}</summary>
        <p class="quiet">These can lose data. Each asks for a word, and who asked is recorded.</p>
        <Actions actions={actions} groups={['emergency']} onAnswer={onAnswer} />
      </details>
    </Card>
  );
}
