# The state partition, the only one that is written: made at the first boot in what the disk has left behind the slots. Sourced by init.
# It is called twinstep-state-new until its file system is whole, so that an interrupted first boot starts over and an old state is never
# formatted: a damaged twinstep-state is left as it is. Encrypted or not is asked before it is made, where there is a TPM (appliance/encryption).
linux=0fc63daf-8483-4772-8e79-3d69d8477de4
# Behind the EFI system partition and the two slots.
state_number=4
mapped=/dev/mapper/twinstep-state
tpm=/dev/tpmrm0
encryption=/run/twinstep/state-encryption
# The partition below, where it is encrypted.
encrypted_device=/run/twinstep/state-device
# PCR 15, closed once the state partition is decided: TPM2_PCR_Extend, as bytes (appliance/encryption/volume.ts).
closing='\200\002\000\000\000\101\000\000\001\202\000\000\000\017\000\000\000\011\100\000\000\011\000\000\000\000\000\000\000\000\001\000\013\042\351\201\371\331\174\352\262\130\207\006\346\122\137\173\360\154\342\110\262\060\307\362\222\232\306\065\171\222\342\240\344'

state_partition() { # name
  grep -lx "PARTNAME=$1" /sys/block/"$disk"/*/uevent 2>/dev/null | sed 's,.*/\([^/]*\)/uevent$,\1,'
}

# The kernel has the disk's slot open, so of the new table it is told this one partition: each that it is told of loses its name until the next
# start, and updates find the slots by their names.
table() { # sfdisk's words...
  sfdisk --quiet --no-reread --no-tell-kernel --force "$@" && partx --update --nr $state_number "/dev/$disk"
}

state_program() { # first | open, device
  /opt/twinstep/node /opt/twinstep/twinstep.mjs state "$1" --device "$2" --console $serial --console $screen </dev/null
}

# A partition that is added while the disk is in use has no name in the kernel until the next start: it is known by its number. Sets $file_system.
make_state() { # a partition that is called twinstep-state-new already; none: it is looked for
  fresh=${1:-$(state_partition twinstep-state-new)}
  if [ -z "$fresh" ]; then
    echo "type=$linux, name=twinstep-state-new" | table --append "/dev/$disk" || return
    fresh=${partition%?}$state_number
  fi
  file_system=/dev/$fresh
  if is_asked; then
    state_program first "$file_system"
    case $? in
      0) ;;
      10)
        echo "$file_system" >$encrypted_device
        file_system=$mapped
        echo tpm2 >$encryption
        ;;
      *) return 1 ;;
    esac
  fi
  mkfs.ext4 -q -F -m 0 -L twinstep-state "$file_system" && table --part-label "/dev/$disk" $state_number twinstep-state
}

is_asked() {
  [ -e $tpm ] && [ ! -e $given/config/raw ]
}

# Nothing is on it that anybody has brought or answered: it may be made anew.
is_unused() {
  [ ! -e $configuration ] && [ ! -e $state/state/pair.key ] && [ -z "$(find $state/disks $state/guest -type f 2>/dev/null)" ]
}

# Sets $file_system to what is inside an encrypted partition. Waits for the recovery key when the TPM does not give its own.
unlock() {
  [ "$(blkid -c /dev/null -o value -s TYPE "$file_system")" = crypto_LUKS ] || return 0
  state_program open "$file_system"
  case $? in
    0) echo tpm2 >$encryption ;;
    10) echo recoveryKey >$encryption ;;
    *) return 1 ;;
  esac
  echo "$file_system" >$encrypted_device
  file_system=$mapped
}

mount_state() {
  e2fsck -p "$file_system"
  [ $? -lt 4 ] && mount -t ext4 -o noatime,nosuid,nodev "$file_system" "$state"
}

# Without it nothing is lost that was kept before: the product then has no configuration and says so.
open_state() {
  echo none >$encryption
  found=$(state_partition twinstep-state)
  if [ -z "$found" ]; then
    tell "first boot: making the state partition on $disk"
    make_state >/run/log/state 2>&1 && mount_state >>/run/log/state 2>&1 && return
    tell "the state partition cannot be made: $(tail -n 1 /run/log/state)"
  else
    file_system=/dev/$found
    if unlock >/run/log/state 2>&1 && mount_state >>/run/log/state 2>&1; then
      # A TPM that was switched on after the first boot, or an answer that was a mistake: asked until the server is set up.
      { [ "$file_system" != $mapped ] && is_asked && is_unused; } || return 0
      umount "$state"
      table --part-label "/dev/$disk" $state_number twinstep-state-new >>/run/log/state 2>&1 &&
        make_state "$found" >>/run/log/state 2>&1 && mount_state >>/run/log/state 2>&1 && return
    fi
  fi
  tell "the state partition $found cannot be used: $(tail -n 1 /run/log/state). What this CoServer is told now is lost at the next start"
  disk=-
  mount -t tmpfs -o mode=755 state "$state"
}

# From now on until the next start the TPM gives nobody the key: not to the product, and not to what a configuration makes it start.
close_register() {
  [ -e $tpm ] || return 0
  # Of the answer the four bytes behind tag and length.
  answer=$({ printf "$closing" >&3 && dd bs=4096 count=1 <&3; } 2>/dev/null 3<>$tpm | xxd -p | cut -c 13-20)
  [ "$answer" = 00000000 ] || tell "register 15 of the TPM cannot be closed ($answer): what runs from now on might ask it for the key"
}
