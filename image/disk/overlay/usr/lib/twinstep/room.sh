# A state partition without room: what can be made again goes, and if that is not enough both consoles say so. Sourced by init. Nothing that counts
# is lost by it: what the product has to keep is written in place, and its log goes on when there is room again.
# A start compiles some MiB, and setting up writes less than one.
least_free_kib=16384
# The product's log, and the one before it: both together at most twice that.
max_log_kib=65536
look_at_log_s=600

free_kib() {
  df -Pk "$state" 2>/dev/null | { while read -r _ _ _ kib _; do last=$kib; done; echo "$last"; }
}

# In its place: the product that writes it has it open, for years.
keep_log_short() {
  [ "$(du -k "$log/twinstep.log" 2>/dev/null | cut -f1)" -gt $max_log_kib ] 2>/dev/null || return 0
  cp "$log/twinstep.log" "$log/twinstep.log.1" 2>/dev/null || rm -f "$log/twinstep.log.1"
  : >"$log/twinstep.log"
}

follow_log() {
  while :; do
    keep_log_short
    sleep $look_at_log_s
  done
}

make_room() {
  [ "$(free_kib)" -lt $least_free_kib ] || return 0
  rm -rf "$state/compiled" "$log/twinstep.log.1"
  left_kib=$(free_kib)
  [ "$left_kib" -lt $least_free_kib ] || return 0
  tell "the state partition (/dev/$found) is full: $left_kib KiB are left. The guest goes on; what would be kept anew is not: answers, restore points, logs. \
Remove restore points on the console of the pair; else install this server anew (erase) on a larger disk: its partner has all of the guest"
}
