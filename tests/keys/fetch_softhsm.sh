#!/bin/sh
# Unpack Debian's libsofthsm2 into the folder given. Needs apt, but neither root nor any change of the system.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$folder"
mkdir -p apt/lists/partial apt/cache/archives/partial
own="-o Dir::State::lists=$folder/apt/lists -o Dir::Cache=$folder/apt/cache -o APT::Sandbox::User=$(id -un) -o Debug::NoLocking=true"
# shellcheck disable=SC2086
apt-get download -q libsofthsm2 2>/dev/null || { apt-get $own update -q && apt-get $own download -q libsofthsm2; }
dpkg-deb -x libsofthsm2_*.deb .
rm -rf apt libsofthsm2_*.deb
