// The wiring of the lab, as text for `ip -batch`: what exists, and what changes when a cable is cut or a server loses power. Pure.
//
//                 ts0-rack: one bridge per cable, and the switches of the LAN and of the management network
//   ts0-a  link1 ==== a-link1 [link1] b-link1 ==== link1  ts0-b
//          link2 ==== a-link2 [link2] b-link2 ==== link2
//          lan0  ==== a-lan0  [lan]   b-lan0  ==== lan0
//          mgmt0 ==== a-mgmt0 [mgmt]  b-mgmt0 ==== mgmt0
//   ts0-lan lan0 ==== c-lan0  [lan]   [mgmt]  w-mgmt0 ==== mgmt0 ts0-witness
//                                     [mgmt]  a-bmc   ==== mgmt0 ts0-bmc-a, and b-bmc: a BMC has power while its server has none
//
// Why cables end in a rack instead of joining the servers directly: pulling one must take the carrier from a NIC that stays
// administratively up (a NIC set down also loses its routes and fails its raw sockets, which no cable does), and a server
// that loses power must not take the NIC out of its partner.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { ADDRESSES, bmcNamespace, CO_SERVERS, type LabSettings, LINKS, type LinkNumber } from './settings.ts';

export interface Batch {
  namespace: string;
  lines: string[];
}

/** What decides the carrier of every cable. */
export interface CableState {
  powered: Record<CoServerName, boolean>;
  /** A dedicated link's cable is whole. */
  whole: Record<LinkNumber, boolean>;
  /** A CoServer's business cable is whole. */
  lan: Record<CoServerName, boolean>;
}

const side = (name: CoServerName) => (name === 'A' ? 'a' : 'b');
const SWITCH = 'type bridge stp_state 0 forward_delay 0 mcast_snooping 0';

/** The rack's end of a BMC's cable. */
export function bmcEnd(name: CoServerName): string {
  return `${side(name)}-bmc`;
}

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
        ...CO_SERVERS.flatMap((name) => [
          `link add ${bmcEnd(name)} type veth peer name mgmt0 address 02:54:53:00:0${side(name)}:05 netns ${settings.namespaces[bmcNamespace(name)]}`,
          `link set ${bmcEnd(name)} master mgmt up`,
        ]),
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
    ...CO_SERVERS.map((name) => ({
      namespace: settings.namespaces[bmcNamespace(name)],
      lines: ['link set lo up', 'link set mgmt0 up', `addr add ${ADDRESSES.bmc[name]}/24 dev mgmt0`],
    })),
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
 * In the rack, before carriers go: the switch ports of the ends that had one and lose it pass nothing any more. Taking a carrier away costs
 * the kernel milliseconds per cable, this costs microseconds for all.
 */
export function muteLines(before: CableState, after: CableState, present: readonly CoServerName[]): string[] {
  const had = new Set(carrierOf(before, present).flatMap(({ end, carrier }) => (carrier ? [end] : [])));
  return carrierOf(after, present).flatMap(({ end, carrier }) =>
    !carrier && had.has(end) ? [`link set ${end} type bridge_slave state 0`] : [],
  );
}

/** In the rack: gives every cable end of the CoServers that are `present` (their NICs exist) the carrier that `state` says. */
export function carrierLines(state: CableState, present: readonly CoServerName[]): string[] {
  return carrierOf(state, present).map(({ end, carrier }) => `link set ${end} ${carrier ? 'up' : 'down'}`);
}

/** A dedicated link has carrier only with power on both of its ends. The ends of a server without power come first: they are its last moment. */
function carrierOf(state: CableState, present: readonly CoServerName[]): { end: string; carrier: boolean }[] {
  const darkFirst = [...present].sort((x, y) => Number(state.powered[x]) - Number(state.powered[y]));
  return darkFirst.flatMap((name) => {
    const s = side(name);
    const both = state.powered.A && state.powered.B;
    return [
      ...LINKS.map((l) => ({ end: `${s}-link${l}`, carrier: both && state.whole[l] })),
      { end: `${s}-lan0`, carrier: state.powered[name] && state.lan[name] },
      { end: `${s}-mgmt0`, carrier: state.powered[name] },
    ];
  });
}
