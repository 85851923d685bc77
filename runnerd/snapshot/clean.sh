#!/bin/bash
# What must not stay in the default snapshot. Called by build-default.sh with the new root, as the last step.
set -euo pipefail
root=$1

# How the build reached its mirrors is no part of the result; nor is what a package manager makes again.
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap
sed -i -E 's#(https?://)[^/@ ]+@#\1#' "$root"/etc/apt/sources.list # a mirror's password
cat >"$root/etc/apt/apt.conf.d/90daytona" <<'END'
APT::Install-Recommends "false";
Acquire::Languages "none";
END
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/log/apt "$root"/var/log/*.log \
    "$root"/var/cache/ldconfig "$root"/var/cache/debconf/*-old
find "$root/var/log" -type f -exec truncate -s 0 {} +
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/var/lib/dbus/machine-id"
: >"$root/etc/hostname"
: >"$root/etc/resolv.conf"
