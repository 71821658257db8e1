import t from 'tap';
import { parseList, RecordBook } from '../../../../hwqual/lab/clients/record.ts';

t.test('a complete list', async (t) => {
  t.strictSame(parseList('records 2\n5\n7\nend\n'), [5, 7]);
  t.strictSame(parseList('records 0\nend\n'), []);
});

t.test('anything else is refused', async (t) => {
  for (const text of [
    '',
    'records 2\n5\nend\n',
    'records 1\n5\n7\nend\n',
    'records 1\n5\n',
    'records 1\nx\nend\n',
    'records 1\n5\nend\nmore\n',
  ]) {
    t.throws(() => parseList(text), JSON.stringify(text));
  }
  t.throws(() => parseList('records 2\n5\nerror record 1 is damaged\n'), /record 1 is damaged/);
});

t.test('numbers of one run', async (t) => {
  const book = new RecordBook(1_700_000_000_123);
  const numbers = [book.take(), book.take()];
  t.strictSame(numbers, [book.first, book.first + 1]);
  t.ok(book.has(book.first + 1));
  t.notOk(book.has(book.first + 2));
  t.notOk(new RecordBook(1_700_000_001_123).has(book.first));
  t.ok(Number.isSafeInteger(new RecordBook(9_999_999_999_999).take()));
  t.ok(String(new RecordBook(9_999_999_999_999).take()).length <= 18, 'as the guest accepts');
});
