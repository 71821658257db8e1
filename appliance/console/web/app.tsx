// The page: one live picture of the pair, from the redundancy sentence down to the figures. It renders view models only.
import { type JSX, render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ageText } from '../format.ts';
import { type ConsoleModel, consoleModel } from '../model.ts';
import { Actions, Attention, Emergency } from './actions.tsx';
import { type ConnectionState, followServer, type Picture, post } from './connection.ts';
import { Disk } from './disk.tsx';
import { Figures, HELD_SAMPLES_MAX, type HeldSample } from './figures.tsx';
import { Hardware } from './hardware.tsx';
import { Events, Takeover } from './history.tsx';
import { Lockstep } from './lockstep.tsx';
import { Login } from './login.tsx';
import { Pair } from './pair.tsx';
import { type AskButtonProps, Card, Facts, Mark } from './parts.tsx';
import { Points } from './points.tsx';
import { Settings } from './settings.tsx';
import { Software } from './software.tsx';
import { type SettingsOfServer, useSettings } from './use-settings.ts';
import { type Update, useUpdate } from './use-update.ts';

const NOTICE_MS = 8_000;

function App(): JSX.Element {
  const [connection, setConnection] = useState<ConnectionState>({ kind: 'connecting' });
  const [picture, setPicture] = useState<Picture | null>(null);
  const [held, setHeld] = useState<HeldSample[]>([]);
  const [session, setSession] = useState(0);
  const update = useUpdate(connection.kind === 'live');
  const settings = useSettings(connection.kind === 'live');
  useEffect(() => {
    const abort = new AbortController();
    const onPicture = (next: Picture): void => {
      const { at, gate } = next.snapshot;
      setPicture(next);
      // A clock that was set back would draw a line to the left.
      setHeld((before) => [...before.filter((h) => h.at < at), { at, oldestHeldMs: gate.oldestHeldMs }].slice(-HELD_SAMPLES_MAX));
    };
    void followServer({ picture: onPicture, state: setConnection }, abort.signal);
    return () => abort.abort();
  }, [session]);

  if (connection.kind === 'signedOut') return <Login onSignedIn={() => setSession(session + 1)} />;
  if (!picture)
    return (
      <main class="login">
        <p role="status">{connection.kind === 'lost' ? `${connection.reason} Trying again …` : 'Connecting …'}</p>
      </main>
    );
  const model = consoleModel(picture.snapshot, update.state, settings.state);
  return <Console model={model} update={update} settings={settings} picture={picture} connection={connection} held={held} />;
}

interface ConsoleProps {
  model: ConsoleModel;
  update: Update;
  settings: SettingsOfServer;
  picture: Picture;
  connection: ConnectionState;
  held: readonly HeldSample[];
}

function Console({ model, update, settings, picture, connection, held }: ConsoleProps): JSX.Element {
  const [notice, setNotice] = useState<{ text: string; refused: boolean } | null>(null);
  const onAnswer: AskButtonProps['onAnswer'] = (label, refusal) =>
    setNotice(refusal === null ? { text: `${label}: accepted.`, refused: false } : { text: `${label}: ${refusal}`, refused: true });
  useEffect(() => {
    if (!notice) return;
    const timer = setTimeout(() => setNotice(null), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  const { headline: h, singlePoints: points } = model;
  useEffect(() => {
    document.title = `${connection.kind === 'lost' ? 'lost' : h.word} – Twinstep ${h.coServer}`;
  }, [h.word, h.coServer, connection.kind]);
  return (
    <div class={connection.kind === 'lost' ? 'stale' : ''}>
      <TopBar model={model} />
      {connection.kind === 'lost' && <LostBanner arrivedAt={picture.arrivedAt} reason={connection.reason} model={model} />}
      <main>
        <section class={`hero ${h.tone} ${h.standing.kind}`} aria-live="polite">
          <Mark tone={h.tone} />
          <div>
            <div class="state">
              <h1>{h.word}</h1>
              <span class={`standing ${h.standing.kind} ${h.standing.tone}`}>{h.standing.text}</span>
            </div>
            <p>{h.sentence}</p>
          </div>
          <div class={`points ${points.tone}`}>
            <h2>
              <Mark tone={points.tone} /> {points.title}
            </h2>
            {points.lines.length > 0 && (
              <ul>
                {points.lines.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            )}
          </div>
        </section>
        <Attention model={model} onAnswer={onAnswer} />
        <Progress model={model} />
        <Pair model={model} onAnswer={onAnswer} />
        <Lockstep model={model} onAnswer={onAnswer} />
        <div class="columns">
          <div>
            <Workload model={model} onAnswer={onAnswer} />
            <Disk disk={model.disk} />
            <Points model={model} onAnswer={onAnswer} />
            <Takeover takeover={model.takeover} />
            <Emergency model={model} onAnswer={onAnswer} />
          </div>
          <Events events={model.events} />
        </div>
        <Hardware hardware={model.hardware} />
        <Software software={model.software} update={update} onAnswer={onAnswer} />
        <Settings settings={model.settings} server={settings} />
        <Figures model={model} held={held} />
        <Consoles model={model} />
      </main>
      <div class="notices" role="status">
        {notice && (
          <p class={notice.refused ? 'refused' : 'accepted'}>
            <Mark tone={notice.refused ? 'warning' : 'good'} /> {notice.text}
          </p>
        )}
      </div>
    </div>
  );
}

function TopBar({ model }: { model: ConsoleModel }): JSX.Element {
  const { headline: h } = model;
  const partner = model.consoles.find((c) => !c.here);
  return (
    <header class="top">
      <strong>Twinstep</strong>
      <span>
        as CoServer <b>{h.coServer}</b> sees it
      </span>
      {h.facts.map((f) => (
        <span key={f.label} class="quiet">
          {f.label.toLowerCase()} {f.value}
        </span>
      ))}
      <time class="quiet">
        {h.date} {h.clock} UTC
      </time>
      {partner && isWebAddress(partner.url) && <a href={partner.url}>Console of {partner.coServer}</a>}
      <button type="button" class="plain-button" onClick={() => void post('/api/logout', {})}>
        Sign out
      </button>
    </header>
  );
}

/** Counts by itself: no picture comes while the connection is lost. */
function LostBanner({ arrivedAt, reason, model }: { arrivedAt: number; reason: string; model: ConsoleModel }): JSX.Element {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const partner = model.consoles.find((c) => !c.here);
  return (
    <div class="lost" role="alert">
      <Mark tone="critical" />
      <p>
        <strong>Connection lost.</strong> {reason} Showing the picture of {ageText(Math.max(0, now - arrivedAt))} ago; trying again.{' '}
        {partner && isWebAddress(partner.url) ? (
          <>
            CoServer {partner.coServer} may know more: <a href={partner.url}>{partner.url}</a>
          </>
        ) : (
          'The console of the other CoServer may know more.'
        )}
      </p>
    </div>
  );
}

function Progress({ model: { progress: p } }: { model: ConsoleModel }): JSX.Element | null {
  if (!p) return null;
  return (
    <section class="progress" aria-label="Progress">
      <p>
        <strong>{p.what}</strong> <span>{p.percent}</span> <span class="quiet">{p.detail}</span>
      </p>
      <progress max={1} value={p.fraction} aria-label={p.what} />
    </section>
  );
}

function Workload({ model, onAnswer }: { model: ConsoleModel; onAnswer: AskButtonProps['onAnswer'] }): JSX.Element {
  const { workload: w, actions } = model;
  return (
    <Card
      title={
        <>
          <Mark tone={w.tone} /> Workload {w.name}: {w.state}
        </>
      }
    >
      <p>{w.sentence}</p>
      <Facts facts={w.facts} />
      <Actions actions={actions} groups={['other', 'guest', 'maintenance']} onAnswer={onAnswer} />
    </Card>
  );
}

function Consoles({ model }: { model: ConsoleModel }): JSX.Element | null {
  if (model.consoles.length === 0) return null;
  return (
    <Card title="Consoles" class="consoles">
      <dl class="facts">
        {model.consoles.map((c) => (
          <div key={c.coServer}>
            <dt>
              CoServer {c.coServer}
              {c.here ? ' (this one)' : ''}
            </dt>
            <dd>
              {isWebAddress(c.url) ? <a href={c.url}>{c.url}</a> : c.url}
              {c.fingerprint !== null && <code class="fingerprint">SHA-256 {c.fingerprint}</code>}
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

const isWebAddress = (url: string): boolean => url.startsWith('https://');

const root = document.getElementById('app');
if (root) {
  root.replaceChildren();
  render(<App />, root);
}
