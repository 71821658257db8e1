// Pages that are filled in as forms, as a browser does: the same answers and refusals as by keys, and nothing secret on the way back.
import fc from 'fast-check';
import t from 'tap';
import { TEXT_MAX_CHARS } from '../../../../appliance/setup/input.ts';
import { PAGES, type SetupForm } from '../../../../appliance/setup/state.ts';
import { setupView } from '../../../../appliance/setup/web-view.ts';
import { Dialogue, look } from './two-dialogues.ts';

const form = (d: Dialogue, values: Record<string, string>, turn: SetupForm['turn'] = 'on', page = d.state.page): void =>
  d.feed({ kind: 'form', form: { page, values, turn } });

const view = (d: Dialogue) => setupView(d.state, d.facts);

/** On the page of the helpers, which has a secret. */
function atHelpers(): Dialogue {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  look(a, b);
  a.state = { ...a.state, page: 'helpers', values: { coServer: 'A' }, isServerChosen: true };
  return a;
}

t.test('one page after the other, and back', (t) => {
  const [a, b] = [new Dialogue('a'), new Dialogue('b')];
  look(a, b);
  form(a, { coServer: 'B' }, 'stay');
  t.match([a.state.page, a.state.values.coServer], ['server', 'B'], 'told, not gone on');
  form(a, {});
  t.equal(a.state.page, 'ports');
  form(a, { 'port:52:54:00:00:aa:01': 'link2', 'port:52:54:00:00:aa:02': 'link1' });
  t.equal(a.state.page, 'cables', a.state.message);
  t.match(a.state.roles, { '52:54:00:00:aa:01': 'link2', '52:54:00:00:aa:02': 'link1', '52:54:00:00:aa:03': 'lan0' });
  form(a, {}, 'back');
  t.equal(a.state.page, 'ports');
  form(a, { 'port:52:54:00:00:aa:04': 'none' });
  t.equal(a.state.page, 'ports');
  t.match(a.state.message, /No port is for 'management'/);
  t.end();
});

t.test('what is refused: another page, another choice, other letters, too much; unknown fields are passed over', (t) => {
  const a = new Dialogue('a');
  form(a, { coServer: 'B' }, 'on', 'ports');
  t.strictSame([a.state.page, a.state.values], ['server', {}], 'a page that is not asked');
  form(a, { coServer: 'C' });
  t.match([a.state.page, a.state.message], ['server', /'C' is none of the choices/]);
  form(a, { nonsense: 'x', 'guest.name': 'y' });
  t.match([a.state.page, a.state.values], ['ports', { coServer: 'A' }]);
  t.notOk('guest.name' in a.state.values, 'not asked on that page');
  const b = atHelpers();
  for (const value of ['192.0.2.1\u0000', 'wítness', 'a\nb']) {
    form(b, { 'witness.address': value });
    t.match([b.state.page, b.state.message], ['helpers', /ASCII/]);
  }
  form(b, { 'witness.address': 'a'.repeat(TEXT_MAX_CHARS + 1) });
  t.match(b.state.message, /At most 256/);
  t.equal(b.state.values['witness.address'], undefined);
  t.end();
});

t.test('fields that come with a value are in the same form, whatever the order', (t) => {
  const a = atHelpers();
  form(a, { 'fence.password': 'hush-bmc', 'fence.username': 'twinstep', 'fence.address': '192.0.2.12', 'witness.address': '192.0.2.100' });
  t.equal(a.state.page, 'password', a.state.message);
  t.match(a.state.values, { 'fence.username': 'twinstep', 'fence.password': 'hush-bmc' });
  form(a, {}, 'back');
  t.notMatch(JSON.stringify(view(a)), /hush-bmc/);
  t.match(
    view(a).fields.find((f) => f.id === 'fence.password'),
    { value: '', isSet: true },
  );
  t.end();
});

t.test('the password is hashed as if it was typed; while it is, nothing else counts', (t) => {
  const a = atHelpers();
  a.state = { ...a.state, page: 'password' };
  form(a, { password1: 'lamp-river-cheese', password2: 'lamp-river-cheese' });
  t.equal(a.state.page, 'clock', a.state.message);
  t.notMatch(JSON.stringify(a.state), /lamp-river-cheese/);
  a.state = { ...a.state, busy: 'clock' };
  form(a, {}, 'back');
  t.equal(a.state.page, 'clock');
  t.equal(view(a).isBusy, true);
  t.end();
});

t.test('how a browser gets in is not in what a browser sees', (t) => {
  const a = new Dialogue('a');
  a.facts = { ...a.facts, web: { urls: ['https://192.0.2.77/'], code: 'p9gt-3q7t', fingerprint: 'FE:74' } };
  t.match(a.text(), /Or in a browser: https:\/\/192\.0\.2\.77\/, with the code p9gt-3q7t\..*must be FE:74\./);
  t.notMatch(JSON.stringify(view(a)), /p9gt|FE:74/);
  a.facts = { ...a.facts, web: { urls: [], code: 'p9gt-3q7t', fingerprint: 'FE:74' } };
  t.match(a.text(), /as soon as a DHCP server gives one of the ports an address/);
  t.notMatch(a.text(), /p9gt/);
  t.end();
});

t.test('whatever a form says on whatever page, there is a page to show and no secret on it', (t) => {
  const text = fc.oneof(fc.string({ maxLength: 300 }), fc.constantFrom('yes', 'no', 'A', 'B', 'link1', 'none', 'use', '3'));
  const ids = [
    'coServer',
    'witness.address',
    'fence.address',
    'fence.password',
    'password1',
    'again',
    'anyway',
    'word',
    'guest.level',
    'clock',
  ];
  const values = fc.dictionary(fc.oneof(fc.constantFrom(...ids, 'port:52:54:00:00:aa:01', '__proto__'), fc.string()), text, { maxKeys: 8 });
  const turn = fc.constantFrom('stay' as const, 'on' as const, 'back' as const);
  fc.assert(
    fc.property(fc.constantFrom(...PAGES), values, turn, (page, said, way) => {
      const a = atHelpers();
      a.state = { ...a.state, page, values: { ...a.state.values, 'fence.address': '192.0.2.12', 'fence.password': 'hush-bmc' } };
      form(a, said, way);
      const shown = view(a);
      return PAGES.includes(shown.page) && !JSON.stringify(shown).includes('hush-bmc');
    }),
  );
  t.end();
});
