# A start from the installation medium (twinstep.install, twinstep.medium): its slot and its EFI system partition are brought into memory, and
# the slot is opened there. Afterwards the medium is not needed: a BMC's virtual media are slow, and may go away. Sourced by init.
slot=medium
partition=loop0
folder=/run/twinstep/medium
slot_mib=${medium%+*}
medium_mib=$((slot_mib + ${medium#*+}))
mkdir -p $folder
mount -t tmpfs -o mode=700,size=$((medium_mib + 1))m medium $folder

# Disks that may be it: sticks by their partition's name, and all CD-ROMs.
media() {
  named twinstep-medium | sed 's/.* //'
  for rom in /sys/block/sr*; do [ ! -e "$rom" ] || echo "${rom##*/}"; done
}

# In ten parts: whoever waits for slow virtual media sees that it goes on.
read_medium() {
  : >$folder/content
  done_mib=0
  for tenth in 1 2 3 4 5 6 7 8 9 10; do
    part_mib=$((medium_mib * tenth / 10 - done_mib))
    dd if="/dev/$1" bs=1M skip=$((1 + done_mib)) count=$part_mib >>$folder/content 2>/run/dd || { why=$(grep -m1 -v records /run/dd); return 1; }
    done_mib=$((done_mib + part_mib))
    tell "reading the installation medium ($1): $((tenth * 10)) %"
  done
  [ "$(stat -c %s $folder/content)" -eq $((medium_mib * 1048576)) ] || { why="it is too short"; return 1; }
}

tries=0
until [ -n "$chosen" ]; do
  for found in $(media); do
    [ ! -e "/run/twinstep/refused-$found" ] || continue
    if read_medium "$found" && losetup -r /dev/loop0 $folder/content && is_whole loop0; then chosen=loop0:-; break; fi
    losetup -d /dev/loop0 2>/dev/null
    : >"/run/twinstep/refused-$found"
    tell "the installation medium ($found) is refused: its content is not version $version as it was built ($why). Fetch it again, compare its SHA-256, write it anew"
  done
  tries=$((tries + 1))
  [ $tries -ne $((wait_for_disks_s * 10)) ] || tell "no whole installation medium was found in $wait_for_disks_s s; the search goes on"
  [ -n "$chosen" ] || sleep 0.1
done
tell "the installation medium is in memory"
