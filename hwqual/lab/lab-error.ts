// An error for whoever uses the lab: what is wrong, and what to do about it.

export class LabError extends Error {
  readonly remedy: string;
  constructor(message: string, remedy = '') {
    super(message);
    this.name = 'LabError';
    this.remedy = remedy;
  }

  override toString(): string {
    return this.remedy === '' ? this.message : `${this.message}\n  ${this.remedy}`;
  }
}

export function messageOf(error: unknown): string {
  if (error instanceof LabError) return error.toString();
  return error instanceof Error ? error.message : String(error);
}
