#!/usr/bin/env bash
# An aarch64 CPython 3.11 with the core's packages, as a Raspberry Pi with Debian 12 has it, to be run under qemu-aarch64.
#
#   arm64_python.sh FOLDER [PYTHON]     PYTHON has pip; needs Debian 12's package index and pip's, but not root
#
# Nothing is installed on this machine: apt works in folders of its own and believes it is on arm64, the packages are
# unpacked, and pip chooses the wheels that it would choose on the board. Run: qemu-aarch64 -L FOLDER FOLDER/usr/bin/python3.11
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: arm64_python.sh FOLDER [PYTHON]" >&2; exit 2; }
script=$(realpath "$0")
folder=$(realpath -m "$1")
python=${2:-python3.11}
[ ! -x "$python" ] || python=$(realpath -s "$python")
cd "$(dirname "$script")/../.."

key=$(cat "$script" requirements/core.txt | sha256sum)
if [ "$(cat "$folder/.made-from" 2>/dev/null)" = "$key" ]; then
    echo "$folder is up to date"
    exit 0
fi
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "arm64_python.sh: $tool is missing; this needs a Debian system" >&2; exit 1; }
done

rm -rf "$folder"
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
touch "$work/installed"
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Debug::NoLocking=1
    -o Dir::State="$work/state" -o Dir::State::status="$work/installed" -o Dir::Cache="$work/cache")
"${apt[@]}" update
"${apt[@]}" install --yes --download-only --no-install-recommends python3.11 libstdc++6
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done

# pip cannot ask a foreign Python for its platform, so name all that fit Debian 12 (glibc 2.36).
platforms=(--platform manylinux2014_aarch64)
for minor in $(seq 17 36); do
    platforms+=(--platform "manylinux_2_${minor}_aarch64")
done
"$python" -m pip --disable-pip-version-check --quiet install --only-binary=:all: "${platforms[@]}" --python-version 3.11 \
    --implementation cp --no-deps --require-hashes --requirement requirements/core.txt \
    --target "$folder/usr/lib/python3/dist-packages"
echo "$key" >"$folder/.made-from"
