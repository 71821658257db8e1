// The login page: of the pair's console, and of the first start.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { post } from './connection.ts';

export interface LoginWords {
  intro: string;
  label: string;
  hint: string;
  /** Of a code that counts once; false: of a password that a browser may keep. */
  isCode: boolean;
}

const WORDS: LoginWords = {
  intro: 'Two servers, one workload: the console of this pair.',
  label: "Operator's password",
  hint: "The certificate is this CoServer's own: compare its fingerprint with the one on the serial console.",
  isCode: false,
};

const SECRET = { id: 'secret', name: 'password', required: true, maxLength: 256, autofocus: true, 'aria-describedby': 'refusal' } as const;

export function Login({ onSignedIn, words = WORDS }: { onSignedIn: () => void; words?: LoginWords }): JSX.Element {
  const [refusal, setRefusal] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  const submit = async (form: HTMLFormElement): Promise<void> => {
    const password = new FormData(form).get('password');
    setAsking(true);
    const answer = await post('/api/login', { password });
    setAsking(false);
    setRefusal(answer);
    if (answer === null) onSignedIn();
  };
  return (
    <main class="login">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        <h1>Twinstep</h1>
        <p>{words.intro}</p>
        {/* Password managers file a password under a name. */}
        {!words.isCode && <input type="text" name="username" autocomplete="username" value="operator" hidden readOnly />}
        <label for="secret">
          {words.label}
          {words.isCode ? (
            <input type="text" autocomplete="off" {...SECRET} />
          ) : (
            <input type="password" autocomplete="current-password" {...SECRET} />
          )}
        </label>
        <button type="submit" class="main" disabled={asking}>
          {asking ? 'Checking …' : 'Sign in'}
        </button>
        <p id="refusal" role="alert" class="refusal">
          {refusal}
        </p>
        <p class="quiet">{words.hint}</p>
      </form>
    </main>
  );
}
