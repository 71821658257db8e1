# What the guest is made of, brought by hand: a stick or virtual medium whose file system (FAT, exFAT, ext4) has the label TWINSTEP, with a
# folder `guest`: `kernel`, `initrd`, and `disk` (raw) if the guest has one already. Sourced by init. What is here stays as it is, so a stick
# that stays plugged in changes nothing. A file has its name when it is whole.
stick=/run/stick
# By path: in its own shell busybox takes its own programs first, and its cp fills holes.
copy=/usr/bin/cp

take_guest() {
  mkdir -p $stick $state/guest
  # The installation medium is called so, too, and has no guest.
  for from in $(blkid -c /dev/null -t LABEL=TWINSTEP -o device); do
    if ! mount -t "$(blkid -o value -s TYPE "$from")" -o ro,nosuid,nodev,noexec "$from" $stick 2>$stick.said; then
      tell "$from is called TWINSTEP and cannot be read: $(tail -n 1 $stick.said)"
      continue
    fi
    take_file kernel $state/guest/kernel
    take_file initrd $state/guest/initrd
    take_file disk $state/disks/guest
    umount $stick
  done
}

take_file() { # name there, path here
  [ -f "$stick/guest/$1" ] && [ ! -e "$2" ] || return 0
  tell "copying the guest's $1 from $from"
  if $copy --sparse=always "$stick/guest/$1" "$2.new" 2>$stick.said && sync && mv "$2.new" "$2"; then
    sync
  else
    tell "the guest's $1 cannot be copied: $(tail -n 1 $stick.said)"
    rm -f "$2.new"
  fi
}
