#!/bin/busybox sh
# Pid 1 of a CoServer in the lab: keeps the product running and reaps what it leaves behind. The engine is not its business:
# it outlives the product's process, and the next one takes it over again.
export PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8
log=/var/log/twinstep
# Logs of an earlier run are kept once, when they have grown past this.
max_log_kib=65536
delay_s=1
# Ended by a signal or by itself for the first time in a while: as quickly as systemd does it.
first_delay_s=0.1
longest_delay_s=8
settled_s=10

uptime_s() {
  read -r up _ </proc/uptime
  echo "${up%.*}"
}

: >/run/twinstep/started
while :; do
  for file in twinstep supervisor; do
    [ "$(du -k $log/$file.log 2>/dev/null | cut -f1)" -gt $max_log_kib ] 2>/dev/null && mv $log/$file.log $log/$file.log.1
  done
  began=$(uptime_s)
  # The disks have a volatile write cache, and the guest's can be made to fail, for the product only. All its threads share one pool for disk requests, where a
  # flush blocks a place; and many memory arenas for its many threads would only cost memory.
  LD_PRELOAD=/opt/lab/volatile-cache.so TWINSTEP_VOLATILE_DIRS=/var/lib/twinstep/state:/var/lib/twinstep/disks \
    TWINSTEP_VOLATILE_LOG=/run/volatile-cache TWINSTEP_DISK_FAULTS=/run/volatile-cache/disk.faults \
    UV_THREADPOOL_SIZE=24 MALLOC_ARENA_MAX=2 \
    /opt/twinstep/node --enable-source-maps /opt/twinstep/twinstep.mjs run --config /etc/twinstep/config.yaml \
    >>$log/twinstep.log 2>&1 </dev/null &
  product=$!
  echo $product >/run/twinstep/product.pid
  wait $product
  code=$?
  ran_s=$(($(uptime_s) - began))
  if [ $code -eq 0 ] || [ $ran_s -ge $settled_s ]; then
    delay_s=1
    echo "$(date -u +%FT%TZ) the product ended with code $code after $ran_s s; it is started again at once" >>$log/supervisor.log
    sleep $first_delay_s
    continue
  fi
  echo "$(date -u +%FT%TZ) the product ended with code $code after $ran_s s; it is started again in $delay_s s" >>$log/supervisor.log
  sleep $delay_s
  delay_s=$((delay_s * 2))
  [ $delay_s -le $longest_delay_s ] || delay_s=$longest_delay_s
done
