// The settings that may be changed after the first start: what holds, and a dialog for each.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { SettingField, SettingGroup } from '../settings-state.ts';
import type { SettingsModel } from '../settings-views.ts';
import { Card, Linked, Mark } from './parts.tsx';
import type { SettingsOfServer } from './use-settings.ts';

interface SettingsProps {
  settings: SettingsModel;
  server: SettingsOfServer;
}

export function Settings({ settings: s, server }: SettingsProps): JSX.Element {
  const [open, setOpen] = useState<string | null>(null);
  /** Stays: it may say where this console is to be found from now on. */
  const [told, setTold] = useState('');
  const group = s.groups.find((g) => g.name === open);
  return (
    <Card class="settings" title="Settings of this CoServer">
      {s.trouble !== '' && <p class="quiet">{s.trouble}</p>}
      {told !== '' && (
        <p class="told" role="status">
          <Mark tone="good" />
          <span>
            <Linked text={told} />
          </span>
        </p>
      )}
      <ul class="plain">
        {s.groups.map((g) => (
          <li key={g.name}>
            <div>
              <h3>{g.title}</h3>
              <p>{g.now}</p>
              {g.whyNot !== '' && <p class="quiet">{g.whyNot}</p>}
            </div>
            <button type="button" disabled={g.whyNot !== ''} aria-label={`Change: ${g.title}`} onClick={() => setOpen(g.name)}>
              Change …
            </button>
          </li>
        ))}
      </ul>
      {group && (
        <SettingDialog
          key={group.name}
          group={group}
          server={server}
          onClose={() => setOpen(null)}
          onChanged={(text) => {
            setOpen(null);
            setTold(text);
          }}
        />
      )}
    </Card>
  );
}

interface DialogProps {
  group: SettingGroup;
  server: SettingsOfServer;
  onClose: () => void;
  onChanged: (text: string) => void;
}

function SettingDialog({ group, server, onClose, onChanged }: DialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  // As it was when it was opened: what comes meanwhile does not change what is being typed.
  const [fields] = useState(group.fields);
  const [values, setValues] = useState<Readonly<Record<string, string>>>(() => Object.fromEntries(fields.map((f) => [f.id, f.value])));
  const [refusal, setRefusal] = useState<{ reason: string; canForce: boolean } | null>(null);
  const [asking, setAsking] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (asking) return;
    setAsking(true);
    const answer = await server.change(group.name, values, refusal?.canForce === true);
    setAsking(false);
    if (answer.accepted) onChanged(`${answer.detail?.['text'] ?? 'Changed.'}`);
    else setRefusal({ reason: answer.reason ?? '', canForce: answer.canForce === true });
  };
  const type = (field: SettingField, value: string): void => {
    setValues({ ...values, [field.id]: value });
    // What was read stands against something else than what is asked for now.
    setRefusal(null);
  };
  return (
    <dialog ref={dialog} class="typed setting" aria-labelledby="setting-title" onClose={onClose}>
      <form onSubmit={(e) => void submit(e)}>
        <h2 id="setting-title">{group.title}</h2>
        {fields.map((field) => (
          <label key={field.id} for={idOf(field)}>
            <span>{field.label}</span>
            <Input field={field} value={values[field.id] ?? ''} onType={(value) => type(field, value)} />
          </label>
        ))}
        <p class="quiet">{group.effect}</p>
        {refusal && (
          <p class="refusal" role="alert">
            {refusal.reason}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Change nothing
          </button>
          <button type="submit" class={refusal?.canForce ? 'armed' : 'main'} disabled={asking}>
            {asking ? 'Asked …' : refusal?.canForce ? 'Do it all the same' : 'Change it'}
          </button>
        </div>
      </form>
    </dialog>
  );
}

const idOf = ({ id }: SettingField): string => `setting-${id}`;

function Input({ field, value, onType }: { field: SettingField; value: string; onType: (value: string) => void }): JSX.Element {
  switch (field.kind) {
    case 'choice':
      return (
        <select id={idOf(field)} value={value} onChange={(e) => onType(e.currentTarget.value)}>
          {field.choices.map((c) => (
            <option key={c.value} value={c.value}>
              {c.text}
            </option>
          ))}
        </select>
      );
    case 'secret':
      return (
        <input
          id={idOf(field)}
          type="password"
          value={value}
          // Of the sign-in a browser knows the password: it belongs into one field only.
          autocomplete={field.id === 'old' ? 'current-password' : 'new-password'}
          maxLength={256}
          onInput={(e) => onType(e.currentTarget.value)}
        />
      );
    case 'text':
      return (
        <input
          id={idOf(field)}
          type="text"
          value={value}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          maxLength={256}
          onInput={(e) => onType(e.currentTarget.value)}
        />
      );
    default:
      return field.kind satisfies never;
  }
}
