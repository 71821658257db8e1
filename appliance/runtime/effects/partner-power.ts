// The partner's BMC, as the configuration names it.
import { openIpmi, type PowerOffEvidence, powerOffVerified, readPower } from '../../../drivers/ipmi/index.ts';
import type { CoServerConfig } from '../../config.ts';
import { loadFencePassword } from '../load-config.ts';
import type { PartnerPower } from './fence.ts';

/** Null: none is configured. Throws a ConfigError when its password cannot be read. */
export function partnerPower({ address, port, username, passwordFile, cipherSuite }: CoServerConfig['fence']): PartnerPower | null {
  if (address === '') return null;
  const target = { address, port, username, password: loadFencePassword(passwordFile), cipherSuite };
  return {
    read: async () => ((await readPower(target)).on ? 'on' : 'off'),
    offVerified: async () => describe(address, await powerOffVerified(target)),
    on: async () => {
      const session = await openIpmi(target);
      try {
        await session.chassisControl('on');
      } finally {
        await session.close();
      }
    },
  };
}

function describe(address: string, { firstOffMs, secondOffMs, cipherSuite }: PowerOffEvidence): string {
  return `${address} read as off ${Math.round(firstOffMs)} and ${Math.round(secondOffMs)} ms after it was asked, cipher suite ${cipherSuite}`;
}
