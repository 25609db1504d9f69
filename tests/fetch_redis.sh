#!/bin/sh
# Unpack Debian's redis-tools (which holds the server's binary) into the folder given, with the libraries that a small
# installation lacks. Needs apt, but neither root nor any change of the system.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$folder"
mkdir -p apt/lists/partial apt/cache/archives/partial
own="-o Dir::State::lists=$folder/apt/lists -o Dir::Cache=$folder/apt/cache -o APT::Sandbox::User=$(id -un) -o Debug::NoLocking=true"
packages="redis-tools liblzf1 libjemalloc2 libatomic1"
# shellcheck disable=SC2086
apt-get download -q $packages 2>/dev/null || { apt-get $own update -q && apt-get $own download -q $packages; }
for package in ./*.deb; do dpkg-deb -x "$package" .; done
rm -rf apt ./*.deb
