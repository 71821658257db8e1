// The wiring of the lab, as text for `ip -batch`: what exists, and what changes when a cable is cut or a server loses power. Pure.
//
//                 ts0-rack: one bridge per cable, and the switches of the LAN and of the management network
//   ts0-a  link1 ==== a-link1 [link1] b-link1 ==== link1  ts0-b
//          link2 ==== a-link2 [link2] b-link2 ==== link2
//          lan0  ==== a-lan0  [lan]   b-lan0  ==== lan0
//          mgmt0 ==== a-mgmt0 [mgmt]  b-mgmt0 ==== mgmt0
//   ts0-lan lan0 ==== c-lan0  [lan]   [mgmt]  w-mgmt0 ==== mgmt0 ts0-witness
//
// Why cables end in a rack instead of joining the servers directly: pulling one must take the carrier from a NIC that stays
// administratively up (a NIC set down also loses its routes and fails its raw sockets, which no cable does), and a server
// that loses power must not take the NIC out of its partner.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { ADDRESSES, type LabSettings, LINKS, type LinkNumber } from './settings.ts';

export interface Batch {
  namespace: string;
  lines: string[];
}

/** What decides the carrier of every cable. */
export interface CableState {
  powered: Record<CoServerName, boolean>;
  /** A dedicated link's cable is whole. */
  whole: Record<LinkNumber, boolean>;
}

const side = (name: CoServerName) => (name === 'A' ? 'a' : 'b');
const SWITCH = 'type bridge stp_state 0 forward_delay 0 mcast_snooping 0';

/** A locally administered MAC that tells server and NIC: 02:54:53:00:<A or B>:<nic>. */
export function macOf(name: CoServerName, nic: 'link1' | 'link2' | 'lan0' | 'mgmt0'): string {
  return `02:54:53:00:0${side(name)}:${{ link1: '01', link2: '02', lan0: '03', mgmt0: '04' }[nic]}`;
}

/** The rack, the LAN with its clients' address, the management network with the witness. */
export function rackBatches(settings: LabSettings): Batch[] {
  const { rack, lan, witness } = settings.namespaces;
  const switches = ['link1', 'link2', 'lan', 'mgmt'];
  return [
    {
      namespace: rack,
      lines: [
        ...switches.flatMap((s) => [`link add ${s} ${SWITCH}`, `link set ${s} up`]),
        `link add c-lan0 type veth peer name lan0 address 02:54:53:00:0c:03 netns ${lan}`,
        `link add w-mgmt0 type veth peer name mgmt0 address 02:54:53:00:0d:04 netns ${witness}`,
        'link set c-lan0 master lan up',
        'link set w-mgmt0 master mgmt up',
      ],
    },
    {
      namespace: lan,
      lines: [
        'link set lo up',
        'link set lan0 up',
        `addr add ${ADDRESSES.lan.ipv4} dev lan0`,
        `addr add ${ADDRESSES.lan.ipv6} dev lan0 nodad`,
      ],
    },
    { namespace: witness, lines: ['link set lo up', 'link set mgmt0 up', `addr add ${ADDRESSES.witness}/24 dev mgmt0`] },
  ];
}

/** A CoServer's NICs, its cables laid but still without carrier. */
export function coServerBatches(settings: LabSettings, name: CoServerName): Batch[] {
  const namespace = settings.namespaces[name];
  const s = side(name);
  const nics = [...LINKS.map((l) => [`link${l}` as const, `link${l}`] as const), ['lan0', 'lan'] as const, ['mgmt0', 'mgmt'] as const];
  return [
    {
      namespace: settings.namespaces.rack,
      lines: nics.flatMap(([nic, to]) => [
        `link add ${s}-${nic} type veth peer name ${nic} address ${macOf(name, nic)} netns ${namespace}`,
        `link set ${s}-${nic} master ${to}`,
      ]),
    },
    {
      namespace,
      lines: [
        'link set lo up',
        ...LINKS.flatMap((l) => [
          `link set link${l} up`,
          `addr add ${ADDRESSES.link(l, name)}/24 dev link${l}`,
          // A delayed acknowledgement would add 40 ms to every checkpoint.
          `route replace ${ADDRESSES.linkNetwork(l)} dev link${l} src ${ADDRESSES.link(l, name)} quickack 1`,
        ]),
        'link set lan0 up',
        'link set mgmt0 up',
        `addr add ${ADDRESSES.management[name]}/24 dev mgmt0`,
      ],
    },
  ];
}

/** Takes a CoServer's NICs away, its own ends with them. */
export function removalLines(name: CoServerName): string[] {
  return ['link1', 'link2', 'lan0', 'mgmt0'].map((nic) => `link del ${side(name)}-${nic}`);
}

/**
 * In the rack: gives every cable end of the CoServers that are `present` (their NICs exist) the carrier that `state` says. A dedicated
 * link has carrier only with power on both of its ends.
 * Ends that lose it come first, and of those the ones of a server without power: they are its last moment.
 */
export function carrierLines(state: CableState, present: readonly CoServerName[]): string[] {
  const down: string[] = [];
  const farDown: string[] = [];
  const up: string[] = [];
  for (const name of present) {
    const s = side(name);
    for (const l of LINKS) {
      const carrier = state.powered.A && state.powered.B && state.whole[l];
      if (carrier) up.push(`link set ${s}-link${l} up`);
      else if (state.powered[name]) farDown.push(`link set ${s}-link${l} down`);
      else down.push(`link set ${s}-link${l} down`);
    }
    for (const nic of ['lan0', 'mgmt0'])
      (state.powered[name] ? up : down).push(`link set ${s}-${nic} ${state.powered[name] ? 'up' : 'down'}`);
  }
  return [...down, ...farDown, ...up];
}
