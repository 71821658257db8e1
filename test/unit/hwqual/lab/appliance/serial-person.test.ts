// Whoever sits at an appliance's serial console in the lab: what he sees of the bytes on the line, and when he stops waiting.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { SerialPerson } from '../../../../../hwqual/lab/appliance/serial-person.ts';
import { Terminal } from '../../../../../hwqual/lab/appliance/terminal.ts';

const directory = mkdtempSync(join(tmpdir(), 'serial-person-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

t.test('a terminal shows what stands there at last', async (t) => {
  const terminal = new Terminal();
  terminal.write('firmware\r\nloader\r\n');
  t.strictSame(terminal.rows().slice(0, 3), ['firmware', 'loader', '']);
  terminal.write('\x1b[0m\x1b[2J\x1b[H Twinstep\x1b[2;5H\x1b[1mcode 123');
  // A sequence that comes in two pieces.
  terminal.write('456\x1b[');
  terminal.write('0m.\x1b[?25l\x1b[K');
  t.strictSame(terminal.rows().slice(0, 3), [' Twinstep', '    code 123456.', '']);
  t.equal(terminal.text(), ' Twinstep code 123456. ');
  terminal.write('\x1b[1;5Hx\x1b[J');
  t.strictSame(terminal.rows().slice(0, 2), [' Twix', ''], 'erased from there on');
});

t.test('a terminal that is full moves up; a row that is full goes on in the next one', async (t) => {
  const terminal = new Terminal();
  for (let i = 1; i <= 25; i++) terminal.write(`${i === 1 ? '' : '\r\n'}row ${i}`);
  t.equal(terminal.rows()[0], 'row 2');
  t.equal(terminal.rows()[23], 'row 25');
  terminal.write(`\x1b[1;1H${'a'.repeat(81)}`);
  t.equal(terminal.rows()[0], 'a'.repeat(80));
  t.equal(terminal.rows()[1]?.[0], 'a');
});

t.test('a person sees and hears what was said since power on, and types', async (t) => {
  const path = join(directory, 'serial-a.log');
  writeFileSync(path, 'of an earlier life: shows the code 000000');
  const person = new SerialPerson('A', path);
  t.teardown(() => person.close());
  t.throws(() => person.type('a'), /nobody sits/);
  const line = new PassThrough();
  const typed: string[] = [];
  line.on('data', (bytes: Buffer) => typed.push(bytes.toString()));
  person.forget();
  person.sitDown(line);
  const code = person.sees(/shows the code (\d{6})/, 60);
  appendFileSync(path, '\x1b[2J\x1b[1;70Hshows the\x1b[2;1Hcode 123456');
  t.equal((await code)[1], '123456', 'over the end of a row');
  await person.hears(/code 123456$/, 60);
  await person.typesUntil('a', /code/, 60, 60);
  t.strictSame(typed, ['a']);
  person.forget();
  await t.rejects(person.sees(/code/, 0.01), /machine A: .*code.* is not shown/);
});
