// The software: what runs on both CoServers, an update from a file, and how it rolls across the pair.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { sizeText } from '../format.ts';
import type { ActionModel, ProgressModel, SoftwareModel } from '../model.ts';
import { transferModel, UPDATE_VERBS } from '../update-views.ts';
import { ActionButton } from './actions.tsx';
import { type AskButtonProps, Card, Facts, Mark } from './parts.tsx';
import { TypedButton } from './typed-dialog.tsx';
import { type UploadEnd, type UploadProgress, upload } from './upload.ts';
import type { Update } from './use-update.ts';

type OnAnswer = AskButtonProps['onAnswer'];

interface SoftwareProps {
  software: SoftwareModel;
  update: Update;
  onAnswer: OnAnswer;
}

export function Software({ software: s, update, onAnswer }: SoftwareProps): JSX.Element {
  return (
    <Card
      class="software"
      title={
        <>
          <Mark tone={s.tone} /> Software: {s.word}
        </>
      }
    >
      <p>{s.sentence}</p>
      {s.servers.length > 0 && (
        <div class="versions">
          {s.servers.map((server) => (
            <div key={server.name}>
              <h3>
                CoServer {server.name}
                {server.here ? ' (this one)' : ''}
              </h3>
              <Facts facts={server.facts} />
            </div>
          ))}
        </div>
      )}
      {s.pair && (
        <div class={`pair-update ${s.pair.tone}`} role="status">
          <h3>
            <Mark tone={s.pair.tone} /> {s.pair.title}
          </h3>
          <p>{s.pair.text}</p>
          {s.pair.progress && <Transfer progress={s.pair.progress} />}
        </div>
      )}
      {s.whyNoUpload !== null && <Upload software={s} update={update} whyNot={s.whyNoUpload} />}
      {s.actions.length > 0 && (
        <ul class="plain actions">
          {s.actions.map((a) => (
            <li key={a.name}>
              <SoftwareButton action={a} update={update} onAnswer={onAnswer} />
              {a.reason !== '' && <span class="quiet">{a.reason}</span>}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function SoftwareButton({ action, update, onAnswer }: { action: ActionModel; update: Update; onAnswer: OnAnswer }): JSX.Element {
  const verb = UPDATE_VERBS[action.name];
  return (
    <ActionButton
      action={action}
      onAnswer={onAnswer}
      ask={async (typed) => (verb ? update.ask(verb, typed === 'force') : 'This page does not know how.')}
    />
  );
}

type Phase = { kind: 'rest'; end: UploadEnd | null } | { kind: 'sending'; progress: UploadProgress; abort: AbortController };

function Upload({ software, update, whyNot }: { software: SoftwareModel; update: Update; whyNot: string }): JSX.Element {
  const [file, setFile] = useState<File | null>(null);
  const [phase, setPhase] = useState<Phase>({ kind: 'rest', end: null });
  const abort = useRef<AbortController | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const isSending = phase.kind === 'sending';
  useEffect(() => () => abort.current?.abort(), []);
  useEffect(() => {
    if (!isSending) return;
    const stay = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener('beforeunload', stay);
    return () => removeEventListener('beforeunload', stay);
  }, [isSending]);
  const send = async (force: boolean): Promise<null> => {
    if (!file || isSending) return null;
    const mine = new AbortController();
    abort.current = mine;
    const show = (progress: UploadProgress): void => setPhase({ kind: 'sending', progress, abort: mine });
    show({ sent: 0, of: file.size, bytesPerSecond: null, isLast: false });
    const end = await upload(file, { force, onProgress: show, signal: mine.signal });
    abort.current = null;
    setPhase({ kind: 'rest', end });
    if (end.kind === 'installed') {
      setFile(null);
      if (input.current) input.current.value = '';
    }
    update.look();
    return null;
  };
  return (
    <div class="upload">
      {phase.kind === 'sending' && <Sending progress={phase.progress} onCancel={() => phase.abort.abort()} />}
      {/* Out of sight, not gone: it knows which file was chosen. */}
      <form
        hidden={isSending}
        onSubmit={(event) => {
          event.preventDefault();
          void send(false);
        }}
      >
        <h3>Upload an update</h3>
        <div hidden={whyNot !== ''}>
          <p class="upload-row">
            <input
              ref={input}
              type="file"
              accept=".update"
              aria-label="Update, a file twinstep-VERSION.update"
              disabled={whyNot !== ''}
              onChange={(event) => {
                setFile(event.currentTarget.files?.[0] ?? null);
                setPhase({ kind: 'rest', end: null });
              }}
            />
            <button type="submit" disabled={whyNot !== '' || !file}>
              {file ? `Upload ${sizeText(file.size)}` : 'Upload'}
            </button>
          </p>
        </div>
        {software.upload && <Transfer progress={software.upload} />}
        <p class="quiet">
          {whyNot || 'A file twinstep-VERSION.update. Its signature is checked; it is tried at the next start of this server.'}
        </p>
      </form>
      {phase.kind === 'rest' && <End end={phase.end} file={file} onForce={() => send(true)} />}
    </div>
  );
}

function Sending({
  progress: { sent, of, bytesPerSecond, isLast },
  onCancel,
}: {
  progress: UploadProgress;
  onCancel: () => void;
}): JSX.Element {
  const [isCancelled, setCancelled] = useState(false);
  return (
    <div>
      <h3>{isLast ? 'Reading back what was written' : 'Uploading'}</h3>
      <Transfer progress={transferModel('Sent', sent, of, bytesPerSecond)} />
      <p>
        <button
          type="button"
          disabled={isCancelled || isLast}
          onClick={() => {
            setCancelled(true);
            onCancel();
          }}
        >
          Cancel
        </button>{' '}
        <span class="quiet">{isCancelled ? 'Being cancelled …' : 'Stay on this page until it is done.'}</span>
      </p>
    </div>
  );
}

function End({ end, file, onForce }: { end: UploadEnd | null; file: File | null; onForce: () => Promise<null> }): JSX.Element | null {
  if (!end) return null;
  switch (end.kind) {
    case 'installed':
      return (
        <p class="upload-end" role="status">
          <Mark tone="good" /> Version {end.version} is installed: it is tried at the next start of this server.
        </p>
      );
    case 'cancelled':
      return (
        <p class="upload-end" role="status">
          <Mark tone="info" /> Cancelled. What runs stays; the other slot may be without a version now.
        </p>
      );
    case 'unsure':
      return (
        <p class="upload-end" role="alert">
          <Mark tone="warning" /> {end.reason} What the next start takes is said above.
        </p>
      );
    case 'refused': {
      const action: ActionModel = {
        name: 'force-update',
        label: 'Install it all the same',
        allowed: file !== null,
        reason: '',
        group: 'software',
        typed: null,
        number: null,
      };
      return (
        <div class="upload-end" role="alert">
          <p class="refusal">
            <Mark tone="critical" /> Not installed: {end.reason}
          </p>
          {end.canForce && (
            <TypedButton
              action={action}
              typed={{ word: 'force', meaning: `It was refused: ${end.reason} By force it is done all the same.` }}
              ask={onForce}
              onAnswer={() => undefined}
            />
          )}
        </div>
      );
    }
    default:
      throw new Error(`unknown end ${String(end satisfies never)}`);
  }
}

function Transfer({ progress: p }: { progress: ProgressModel }): JSX.Element {
  return (
    <div class="transfer">
      <p>
        <strong>{p.what}</strong> <span>{p.percent}</span> <span class="quiet">{p.detail}</span>
      </p>
      <progress max={1} value={p.fraction} aria-label={p.what} />
    </div>
  );
}
