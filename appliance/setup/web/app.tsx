// The first start in a browser: one page at a time, as on the server's own consoles, which show and take the same meanwhile.
import { type JSX, render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ask, type ConnectionState, followServer } from '../../console/web/connection.ts';
import { Login, type LoginWords } from '../../console/web/login.tsx';
import type { SetupForm } from '../state.ts';
import type { SetupView, ViewField } from '../web-view.ts';
import { Asked, Input } from './asked.tsx';
import { Said } from './said.tsx';

const WORDS: LoginWords = {
  intro: 'The first start of this server.',
  label: 'Code on its screen and serial line',
  hint: "The certificate is this server's own, until it is set up: compare its fingerprint with the one beside the code.",
  isCode: true,
};

function App(): JSX.Element {
  const [connection, setConnection] = useState<ConnectionState>({ kind: 'connecting' });
  const [view, setView] = useState<SetupView | null>(null);
  const [session, setSession] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    void followServer<SetupView>({ picture: ({ snapshot }) => setView(snapshot), state: setConnection }, abort.signal);
    return () => abort.abort();
  }, [session]);
  useEffect(() => {
    if (view) document.title = `${view.title} – first start${view.coServer ? ` of ${view.coServer}` : ''}`;
  }, [view?.title, view?.coServer]);
  if (connection.kind === 'signedOut') return <Login words={WORDS} onSignedIn={() => setSession(session + 1)} />;
  if (!view)
    return (
      <main class="login">
        <p role="status">{connection.kind === 'lost' ? `${connection.reason} Trying again …` : 'Connecting …'}</p>
      </main>
    );
  return (
    <>
      <header class="top">
        <strong>Twinstep {view.version}</strong>
        <span>First start{view.coServer ? ` of CoServer ${view.coServer}` : ''}</span>
        <span>
          Step {view.step} of {view.steps}
        </span>
      </header>
      <main class="first-start">
        <progress value={view.step} max={view.steps} aria-label="Steps of the first start" />
        {/* Where it is lost for good, it was meant to be. */}
        {connection.kind === 'lost' && view.page !== 'done' && (
          <p class="refusal" role="alert">
            {connection.reason} Trying again … The server's screen and serial line ask the same.
          </p>
        )}
        <Page key={view.page} view={view} isLost={connection.kind === 'lost'} />
      </main>
    </>
  );
}

/** `key`: its page, so that what was typed is forgotten with it. */
function Page({ view, isLost }: { view: SetupView; isLost: boolean }): JSX.Element {
  /** What was typed and has not come back as the server's own. */
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const [refusal, setRefusal] = useState('');
  const [isAsking, setAsking] = useState(false);
  useEffect(() => {
    const isTaken = ({ id, kind, value }: ViewField): boolean => kind !== 'secret' && typed[id] === value;
    const taken = view.fields.filter(isTaken).map((f) => f.id);
    if (taken.length > 0) setTyped((now) => without(now, taken));
  }, [view, typed]);

  const send = async (turn: SetupForm['turn'], values: Readonly<Record<string, string>>): Promise<void> => {
    if (turn !== 'stay') setAsking(true);
    const answer = await ask('/api/setup', { page: view.page, values, turn } satisfies SetupForm);
    setAsking(false);
    setRefusal(answer.accepted ? '' : (answer.reason ?? ''));
    // Refused passwords are typed anew, both.
    if (turn !== 'stay')
      setTyped((now) =>
        without(
          now,
          view.fields.flatMap((f) => (f.kind === 'secret' ? [f.id] : [])),
        ),
      );
  };
  const propsOf = (field: ViewField) => ({
    field,
    value: typed[field.id] ?? field.value,
    onType: (value: string) => setTyped((now) => ({ ...now, [field.id]: value })),
    onTyped: (value: string) => {
      setTyped((now) => ({ ...now, [field.id]: value }));
      void send('stay', { [field.id]: value });
    },
  });
  const isDone = view.page === 'done';
  const inTable = (id: string): JSX.Element | null => {
    const field = view.fields.find((f) => f.id === id);
    return field ? <Input {...propsOf(field)} /> : null;
  };
  const isAskedInTable = view.above.some((b) => b.kind === 'ports');
  const disabled = isAsking || view.isBusy || isLost;
  return (
    <section class="card">
      <form
        autocomplete="off"
        onSubmit={(event) => {
          event.preventDefault();
          if (!disabled) void send('on', typed);
        }}
      >
        <h1>{capital(view.title)}</h1>
        <Said blocks={view.above} fieldAt={inTable} />
        {!isAskedInTable && view.fields.length > 0 && (
          <div class="asked">
            {view.fields.map((field) => (
              <Asked key={field.id} {...propsOf(field)} />
            ))}
          </div>
        )}
        <Said blocks={view.below} fieldAt={inTable} />
        {!isDone && (
          <>
            <p class="told" role="status">
              {refusal || view.message}
            </p>
            <div class="turns">
              <button type="button" disabled={disabled || view.step === 1} onClick={() => void send('back', {})}>
                Back
              </button>
              <button type="submit" class="main" disabled={disabled}>
                {capital(view.goOn)}
              </button>
            </div>
          </>
        )}
      </form>
    </section>
  );
}

const without = (values: Readonly<Record<string, string>>, ids: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(values).filter(([id]) => !ids.includes(id)));

const capital = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

const root = document.getElementById('app');
if (root) render(<App />, root);
