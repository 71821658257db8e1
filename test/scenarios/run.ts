// Plays one story: the same sentences in, and what the cores really did as the golden blocks.
import { emptyStage, perform, type Story } from './language.ts';
import type { Fact } from './pair.ts';
import { tell } from './tale.ts';

export interface Played {
  /** The story with its golden blocks as they came out. */
  story: Story;
  facts: Fact[];
}

/** Throws an Error that names the sentence which could not happen. */
export function play(story: Story): Played {
  const stage = emptyStage();
  let told = 0;
  /** When the story began: what came before is not told. */
  let from: number | null = null;
  const blocks = story.blocks.map(({ sentences }) => {
    for (const sentence of sentences) {
      try {
        perform(stage, sentence);
      } catch (e) {
        throw new Error(`${sentence}: ${(e as Error).message}`, { cause: e });
      }
      if (from === null && stage.pair) from = stage.pair.now;
    }
    const { pair } = stage;
    if (!pair) throw new Error('a block in which nothing has started yet');
    const golden = tell(pair.facts.slice(told), pair, from ?? 0);
    told = pair.facts.length;
    return { sentences, golden };
  });
  return { story: { ...story, blocks }, facts: stage.pair?.facts ?? [] };
}
