import t from 'tap';
import { planDump } from '../../../../../appliance/runtime/effects/guest-dump.ts';

t.test('the latest two are kept, by number; what is no dump of ours is left alone', async (t) => {
  t.same(planDump([]), { number: 1, superseded: [] });
  t.same(planDump(['panic-000001.kdump']), { number: 2, superseded: [] });
  t.same(planDump(['panic-000010.kdump', 'panic-000009.elf', 'notes.txt', 'panic.part', 'panic-1.kdump', 'panic-000002.kdump']), {
    number: 11,
    superseded: ['panic-000002.kdump', 'panic-000009.elf'],
  });
});
