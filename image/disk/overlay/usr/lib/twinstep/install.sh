# A start from the installation medium: only the installer runs, and no disk is touched before it is told so. Sourced by init.
content=/run/twinstep/medium/content
esp=/run/twinstep/esp
install_log=/run/log/install.log
mkdir -p $esp
for word in $(cat /proc/cmdline); do
  case $word in twinstep.medium=*) slot_mib=${word#*=} slot_mib=${slot_mib%+*} ;; esac
done
busybox losetup -r -o $((slot_mib * 1048576)) /dev/loop1 $content && mount -t vfat -o ro /dev/loop1 $esp ||
  tell "the EFI system partition of the installation medium cannot be read"
answers=/sys/firmware/qemu_fw_cfg/by_name/opt/org.twinstep/install/raw
set -- --console $serial --console $screen --content $content --esp $esp
[ ! -e $answers ] || set -- "$@" --answers $answers
tell "starting the installer"
while :; do
  /opt/twinstep/node /opt/twinstep/twinstep.mjs install "$@" </dev/null >>$install_log 2>&1
  case $? in
    0) busybox reboot -f ;;
    10) busybox poweroff -f ;;
    *)
      tell "the installer has ended: $(tail -n 1 $install_log). It is started again"
      sleep 5
      ;;
  esac
done
