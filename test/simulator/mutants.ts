import type { Mutant } from './world.ts';
export const MUTANTS: Mutant[] = [];
