# The state partition, the only one that is written: made at the first boot in what the disk has left behind the slots. Sourced by init.
# It is called twinstep-state-new until its file system is whole, so that an interrupted first boot starts over and an old state is never
# formatted: a damaged twinstep-state is left as it is.
linux=0fc63daf-8483-4772-8e79-3d69d8477de4
# Behind the EFI system partition and the two slots.
state_number=4

state_partition() { # name
  grep -lx "PARTNAME=$1" /sys/block/"$disk"/*/uevent 2>/dev/null | sed 's,.*/\([^/]*\)/uevent$,\1,'
}

# The kernel has the disk's slot open, so the new table is told to it partition by partition.
table() { # sfdisk's words...
  sfdisk --quiet --no-reread --no-tell-kernel --force "$@" && partx --update "/dev/$disk"
}

# Sets $found. A partition that is added while the disk is in use has no name in the kernel until the next start: it is known by its number.
make_state() {
  tell "first boot: making the state partition on $disk"
  fresh=$(state_partition twinstep-state-new)
  if [ -z "$fresh" ]; then
    echo "type=$linux, name=twinstep-state-new" | table --append "/dev/$disk" || return
    fresh=${partition%?}$state_number
  fi
  mkfs.ext4 -q -F -m 0 -L twinstep-state "/dev/$fresh" && table --part-label "/dev/$disk" $state_number twinstep-state && found=$fresh
}

# Without it nothing is lost that was kept before: the product then has no configuration and says so.
open_state() {
  found=$(state_partition twinstep-state)
  [ -n "$found" ] || make_state >/run/log/state 2>&1 || tell "the state partition cannot be made: $(tail -n 1 /run/log/state)"
  if [ -n "$found" ]; then
    e2fsck -p "/dev/$found" >/run/log/state 2>&1
    [ $? -lt 4 ] && mount -t ext4 -o noatime,nosuid,nodev "/dev/$found" "$state" && return
  fi
  tell "the state partition $found cannot be used: $(tail -n 1 /run/log/state). What this CoServer is told now is lost at the next start"
  disk=-
  mount -t tmpfs -o mode=755 state "$state"
}
