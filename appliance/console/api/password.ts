// The operator's password: argon2id, one verification at a time. A verification costs some 50 ms and 19 MiB by design,
// so a flood of logins must wait in a short line or be turned away.
import { type Algorithm, hash, verify } from '@node-rs/argon2';

/** Longer ones would only be a way to make the server hash megabytes. */
export const PASSWORD_MAX_CHARS = 256;
/** OWASP's parameters for argon2id: 19 MiB, 2 passes, 1 lane. */
const PARAMETERS = { algorithm: 2 satisfies Algorithm, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const WAITING_MAX = 4;

export function hashPassword(password: string): Promise<string> {
  return hash(password, PARAMETERS);
}

/** '' is none. Null: nothing is wrong with it. */
export function passwordHashProblem(passwordHash: string): string | null {
  if (passwordHash === '' || /^\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(passwordHash)) return null;
  return "is not an argon2id hash ('$argon2id$v=19$m=...')";
}

export type PasswordCheck = 'right' | 'wrong' | 'busy';

export class PasswordVerifier {
  readonly word = 'password';
  #hash: string;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** `passwordHash`: PHC string ($argon2id$...). Throws on another form: better at boot than at the first login. */
  constructor(passwordHash: string) {
    const problem = passwordHashProblem(passwordHash);
    if (problem !== null) throw new Error(`console.passwordHash ${problem}: make one anew and put it into the configuration`);
    this.#hash = passwordHash;
  }

  /** Another one from now on. Throws as the constructor does. */
  change(passwordHash: string): void {
    this.#hash = new PasswordVerifier(passwordHash).#hash;
  }

  /** No password was set: nobody can sign in. */
  get unset(): boolean {
    return this.#hash === '';
  }

  async check(password: string): Promise<PasswordCheck> {
    if (this.unset || password.length > PASSWORD_MAX_CHARS) return 'wrong';
    if (this.#waiting >= WAITING_MAX) return 'busy';
    this.#waiting++;
    const verification = this.#last.then(() => verify(this.#hash, password));
    this.#last = verification.catch(() => false);
    try {
      return (await verification) ? 'right' : 'wrong';
    } finally {
      this.#waiting--;
    }
  }
}
