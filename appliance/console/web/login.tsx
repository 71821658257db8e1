// The login page.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { post } from './connection.ts';

export function Login({ onSignedIn }: { onSignedIn: () => void }): JSX.Element {
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
        <p>Two servers, one workload: the console of this pair.</p>
        {/* Password managers file a password under a name. */}
        <input type="text" name="username" autocomplete="username" value="operator" hidden readOnly />
        <label>
          Operator's password
          <input
            type="password"
            name="password"
            autocomplete="current-password"
            required
            maxLength={256}
            autofocus
            aria-describedby="refusal"
          />
        </label>
        <button type="submit" class="main" disabled={asking}>
          {asking ? 'Checking …' : 'Sign in'}
        </button>
        <p id="refusal" role="alert" class="refusal">
          {refusal}
        </p>
        <p class="quiet">The certificate is this CoServer's own: compare its fingerprint with the one on the serial console.</p>
      </form>
    </main>
  );
}
