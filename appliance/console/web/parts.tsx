// Small pieces of the page: a mark beside every colour, facts as a list, a button that is asked twice.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Fact, Tone } from '../model.ts';

const MARKS: Readonly<Record<Tone, { sign: string; word: string }>> = {
  good: { sign: '✓', word: 'good' },
  info: { sign: 'i', word: 'information' },
  warning: { sign: '!', word: 'warning' },
  critical: { sign: '✕', word: 'critical' },
  unknown: { sign: '?', word: 'not known' },
};

export function Mark({ tone }: { tone: Tone }): JSX.Element {
  return (
    <span class={`mark ${tone}`} role="img" aria-label={MARKS[tone].word}>
      {MARKS[tone].sign}
    </span>
  );
}

export function Card({
  title,
  children,
  class: extra = '',
}: {
  title: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}): JSX.Element {
  return (
    <section class={`card ${extra}`}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

export function Facts({ facts }: { facts: readonly Fact[] }): JSX.Element {
  return (
    <dl class="facts">
      {facts.map((f) => (
        <div key={f.label}>
          <dt>{f.label}</dt>
          <dd>
            {f.tone !== 'info' && f.tone !== 'good' && <Mark tone={f.tone} />}
            {f.value}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Addresses of consoles can be followed. */
export function Linked({ text }: { text: string }): JSX.Element {
  return <>{text.split(/(https:\/\/[\w.:[\]-]+\/)/).map((part, i) => (i % 2 === 1 ? <a href={part}>{part}</a> : part))}</>;
}

/** How long the second press may take. */
const CONFIRM_MS = 4_000;

export interface AskButtonProps {
  label: string;
  /** Said on the button until the second press. */
  confirm?: string;
  disabled?: boolean;
  /** Answers null or the refusal's reason. */
  ask: () => Promise<string | null>;
  onAnswer: (label: string, refusal: string | null) => void;
}

export function AskButton({ label, confirm, disabled = false, ask, onAnswer }: AskButtonProps): JSX.Element {
  const [phase, setPhase] = useState<'rest' | 'armed' | 'asking'>('rest');
  useEffect(() => {
    if (phase !== 'armed') return;
    const timer = setTimeout(() => setPhase('rest'), CONFIRM_MS);
    return () => clearTimeout(timer);
  }, [phase]);
  const press = async (): Promise<void> => {
    if (confirm !== undefined && phase === 'rest') {
      setPhase('armed');
      return;
    }
    setPhase('asking');
    const refusal = await ask();
    setPhase('rest');
    onAnswer(label, refusal);
  };
  return (
    <button type="button" class={phase === 'armed' ? 'armed' : ''} disabled={disabled || phase === 'asking'} onClick={() => void press()}>
      {phase === 'armed' ? confirm : phase === 'asking' ? `${label} …` : label}
    </button>
  );
}
