# The state partition, the only one that is written: made at the first boot in what the disk has left behind the slots. Sourced by init.
# It is called twinstep-state-new until its file system is whole, so that an interrupted first boot starts over and an old state is never
# formatted: a damaged twinstep-state is left as it is.
linux=0fc63daf-8483-4772-8e79-3d69d8477de4

state_partition() { # name
  grep -lx "PARTNAME=$1" /sys/block/"$disk"/*/uevent 2>/dev/null | sed 's,.*/\([^/]*\)/uevent$,\1,'
}

# The kernel has the disk's slot open, so the new table is told to it partition by partition.
table() { # sfdisk's words...
  sfdisk --quiet --no-reread --no-tell-kernel --force "$@" "/dev/$disk" && partx --update "/dev/$disk"
}

make_state() {
  tell "first boot: making the state partition on $disk"
  fresh=$(state_partition twinstep-state-new)
  if [ -z "$fresh" ]; then
    echo "type=$linux, name=twinstep-state-new" | table --append
    fresh=$(state_partition twinstep-state-new)
  fi
  [ -n "$fresh" ] && mkfs.ext4 -q -F -m 0 -L twinstep-state "/dev/$fresh" &&
    sfdisk --quiet --no-reread --no-tell-kernel --force --part-label "/dev/$disk" "$(cat "/sys/class/block/$fresh/partition")" twinstep-state &&
    partx --update "/dev/$disk"
}

# Without a state nothing is lost when the power goes that was not said to be: the product then has no configuration and says so.
open_state() {
  found=$(state_partition twinstep-state)
  if [ -z "$found" ]; then
    make_state >/run/log/state 2>&1 || tell "the state partition cannot be made: $(tail -n 1 /run/log/state)"
    found=$(state_partition twinstep-state)
    # The kernel's name of a partition that was only renamed may still be the old one.
    [ -n "$found" ] || found=$(state_partition twinstep-state-new)
  fi
  if [ -n "$found" ]; then
    e2fsck -p "/dev/$found" >/run/log/state 2>&1
    [ $? -lt 4 ] && mount -t ext4 -o noatime,nosuid,nodev "/dev/$found" "$state" && return
  fi
  tell "the state partition ${found:-} cannot be used: $(tail -n 1 /run/log/state). What this CoServer is told now is lost at the next start"
  disk=-
  mount -t tmpfs -o mode=755 state "$state"
}
