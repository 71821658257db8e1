// aer_dev_* of a real port and a newer kernel (testdata/pcie): all 18 kinds of error are counts, and the total is the last line.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeAer } from '../../../../drivers/edac/codec.ts';

const FOLDER = join(import.meta.dirname, '../../../../drivers/edac/testdata/pcie');
for (const [file, total] of [
  ['aer_dev_correctable', 'TOTAL_ERR_COR'],
  ['aer_dev_nonfatal', 'TOTAL_ERR_NONFATAL'],
  ['aer_dev_fatal', 'TOTAL_ERR_FATAL'],
] as const) {
  const text = readFileSync(join(FOLDER, file), 'utf8');
  t.equal(decodeAer(text, file), 0, file);
  t.equal(decodeAer(text.replace(`${total} 0`, `${total} 7`), file), 7, 'the total counts');
  const cut = text.replace(`${total} 0\n`, '').replace(/ 0$/gm, ' 1');
  t.equal(decodeAer(cut, file), cut.trim().split('\n').length, 'without it the sum of every kind');
}
