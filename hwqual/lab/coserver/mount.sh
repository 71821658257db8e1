#!/bin/sh
# Makes a CoServer's root and becomes its pid 1. Runs on the host's programs, in mount, pid, uts, ipc and network namespaces
# of its own; all mounts are in those only and vanish with pid 1.
#   $1 engine root   $2 the CoServer's folder   $3 the lab's folder   $4 node binary   $5 name   $6 serial device (a pts)
set -eu
engine=$1 own=$2 lab=$3 node=$4 name=$5 serial=$6
new=$own/root

mount -t tmpfs -o mode=755,size=64m root "$new"
cd "$new"
mkdir -p usr etc boot proc sys dev run tmp root mnt opt var/tmp var/cache var/log/twinstep var/lib/twinstep/state var/lib/twinstep/disks
for link in bin sbin lib lib64; do ln -s usr/$link $link; done
ln -s /run var/run
chmod 1777 tmp var/tmp

# bind <from> <to> [ro]
bind() {
  mount --bind "$1" "$2"
  [ "${3-}" != ro ] || mount -o remount,bind,ro "$2"
}
bind "$engine/usr" usr ro
bind "$engine/boot" boot ro
cp -a "$engine/etc/." etc
mkdir -p etc/twinstep opt/twinstep opt/guest opt/lab
bind "$own/etc" etc/twinstep ro
bind "$lab/bundle" opt/twinstep
bind "$node" opt/twinstep/node ro
bind "$lab/guest" opt/guest ro
bind "$lab/tools" opt/lab ro
bind "$own/state" var/lib/twinstep/state
bind "$own/disks" var/lib/twinstep/disks
bind "$own/log" var/log/twinstep

mount -t tmpfs -o mode=755,size=64m run run
mkdir run/twinstep run/volatile-cache run/lab
bind "$own/run" run/twinstep
bind "$own/undo" run/volatile-cache
bind "$lab/control" run/lab

mount -t tmpfs -o mode=755,size=1m dev dev
mkdir dev/pts dev/shm dev/net
for device in null zero full random urandom tty kvm net/tun fuse loop-control loop0 loop1 loop2 loop3 loop4 loop5 loop6 loop7; do
  [ -e /dev/$device ] || continue
  : >dev/$device
  mount --bind /dev/$device dev/$device
done
mount --bind /dev/pts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s "$serial" dev/ttyTwinstep
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys

echo "coserver-$name" >proc/sys/kernel/hostname
echo "coserver-$name" >etc/hostname
pivot_root . mnt
cd /
/bin/busybox umount -l /mnt
exec /bin/busybox sh /opt/lab/supervisor.sh
