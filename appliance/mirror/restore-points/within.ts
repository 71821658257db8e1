// The end of something that may hang: nobody waits for a restore point without a limit.

/** Rejects with "WHAT within N s" when it takes longer; the work goes on, and nobody hears of its end. */
export async function within<T>(ms: number, work: Promise<T>, what: string, remedy = ''): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms / 1000} s${remedy}`)), ms);
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
