// Names of the code as words: "duplexPrimary" is "duplex primary" to whoever reads it on a console.

/** 'duplexPrimary' -> 'duplex primary', 'namedA' -> 'named A'. */
export function inWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter, at: number) => ` ${at === name.length - 1 ? letter : letter.toLowerCase()}`);
}
