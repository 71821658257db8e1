// An action that can lose data: its word is typed out, beside what it means. A press, or two, could be a slip.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ActionModel } from '../model.ts';
import { type AskButtonProps, Mark } from './parts.tsx';

interface TypedButtonProps {
  action: ActionModel;
  typed: NonNullable<ActionModel['typed']>;
  /** Answers null or the refusal's reason. */
  ask: (word: string) => Promise<string | null>;
  onAnswer: AskButtonProps['onAnswer'];
}

export function TypedButton({ action, typed, ask, onAnswer }: TypedButtonProps): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="danger" disabled={!action.allowed && !open} aria-haspopup="dialog" onClick={() => setOpen(true)}>
        {action.label} …
      </button>
      {open && <TypedDialog action={action} typed={typed} ask={ask} onAnswer={onAnswer} onClose={() => setOpen(false)} />}
    </>
  );
}

function TypedDialog({ action, typed, ask, onAnswer, onClose }: TypedButtonProps & { onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [given, setGiven] = useState('');
  const [asking, setAsking] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const fits = given.trim() === typed.word;
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!fits || !action.allowed || asking) return;
    setAsking(true);
    const refusal = await ask(given.trim());
    onClose();
    onAnswer(action.label, refusal);
  };
  return (
    <dialog ref={dialog} class="typed" aria-labelledby="typed-title" onClose={onClose}>
      <form onSubmit={(e) => void submit(e)}>
        <h2 id="typed-title">
          <Mark tone="critical" /> {action.label}
        </h2>
        <p>{typed.meaning}</p>
        <label>
          <span>
            To ask for it, type the word <b>{typed.word}</b>
          </span>
          <input
            type="text"
            value={given}
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            onInput={(e) => setGiven(e.currentTarget.value)}
          />
        </label>
        {!action.allowed && (
          <p class="refusal" role="alert">
            Not possible any more: {action.reason}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Do not
          </button>
          <button type="submit" class="armed" disabled={!fits || !action.allowed || asking}>
            {action.label}
          </button>
        </div>
      </form>
    </dialog>
  );
}
