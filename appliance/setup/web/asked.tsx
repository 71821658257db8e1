// A field of a page.
import type { JSX } from 'preact';
import type { ViewField } from '../web-view.ts';

/** More are a list. */
const BUTTONS_MAX = 3;
const TEXT_MAX_CHARS = 256;

export interface AskedProps {
  field: ViewField;
  value: string;
  /** While it is typed. */
  onType: (value: string) => void;
  /** It is as it is to be. */
  onTyped: (value: string) => void;
}

export function Asked(props: AskedProps): JSX.Element {
  const { field, value, onTyped } = props;
  const choices = field.choices.filter((c) => c.value !== '');
  if (field.kind === 'choice' && choices.length <= BUTTONS_MAX)
    return (
      <fieldset>
        <legend>{field.label}</legend>
        {choices.map((c) => (
          <label key={c.value}>
            <input type="radio" name={field.id} value={c.value} checked={c.value === value} onChange={() => onTyped(c.value)} />
            {c.text}
          </label>
        ))}
      </fieldset>
    );
  return (
    <label for={idOf(field)}>
      <span>{field.label}</span>
      <Input {...props} />
    </label>
  );
}

const idOf = ({ id }: ViewField): string => `asked-${id}`;

/** Without its label. */
export function Input({ field, value, onType, onTyped }: AskedProps): JSX.Element {
  if (field.kind === 'choice')
    return (
      <select id={idOf(field)} name={field.id} value={value} aria-label={field.label} onChange={(e) => onTyped(e.currentTarget.value)}>
        {field.choices.map((c) => (
          <option key={c.value} value={c.value}>
            {c.text}
          </option>
        ))}
      </select>
    );
  const shared = {
    id: idOf(field),
    name: field.id,
    value,
    maxLength: TEXT_MAX_CHARS,
    spellcheck: false,
    onInput: (e: { currentTarget: HTMLInputElement }) => onType(e.currentTarget.value),
  };
  // A secret is sent with its page only.
  if (field.kind === 'secret')
    return (
      <input type="password" autocomplete="new-password" placeholder={field.isSet ? 'set; leave it empty to keep it' : ''} {...shared} />
    );
  return <input type="text" autocomplete="off" autocapitalize="off" onChange={(e) => onTyped(e.currentTarget.value)} {...shared} />;
}
