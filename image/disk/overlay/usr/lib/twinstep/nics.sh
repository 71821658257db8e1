# Network ports as the configuration wants them: lines of name, MAC address, address/prefix or "-", and a router where there is one. They count with the
# configuration that they belong to. Sourced by init.
net=/sys/class/net

# Sets $strange: why the product cannot run with the ports that are here; '': it can.
set_up_nics() {
  strange=
  missing=
  there=
  [ -e "$nics" ] || return 0
  while read -r role mac address router; do
    for nic in "$net"/*; do
      [ "$(cat "$nic/address")" = "$mac" ] && ip link set "${nic##*/}" down name "$role"
    done
    if [ ! -e "$net/$role" ]; then
      tell "NIC $role ($mac) is not there"
      missing="$missing, $role ($mac)"
      continue
    fi
    there=yes
    # The guest's network belongs to the guest: no address of this server's own there.
    [ ! -e "/proc/sys/net/ipv6/conf/$role" ] || echo 1 >"/proc/sys/net/ipv6/conf/$role/disable_ipv6"
    [ "$address" = - ] || ip addr replace "$address" dev "$role"
    ip link set "$role" up || tell "NIC $role ($mac) cannot be used"
    [ -z "$router" ] || ip route replace default via "$router" dev "$role"
  done <"$nics"
  missing=${missing#, }
  case "$there $missing" in
    "yes "*"lan0 ("*) strange="The port of the guest's network is not in this server: $missing. This server does not run the workload. \
Has its card failed, or was it taken out? Switch this server off and put the card in again; in the place of a card that has failed, install this server \
anew (erase) and set it up: its partner has all of the guest." ;;
    " "?*) strange="None of the network ports that were set up is in this server: $missing. Its disk is the disk of another server, or a copy of \
it. This server does not run the workload, and nobody is asked for anything. Put the disk back where it comes from; or install this server anew \
(erase) and set it up: each server makes an identity of its own." ;;
  esac
}
