#!/usr/bin/env bash
# Makes a virtual machine of a Debian release as it is installed fresh, from Debian's packages.
#
# Usage: image.sh RELEASE FOLDER     (as root; needs mmdebstrap and e2fsprogs)
# FOLDER gets vmlinuz, initrd.img, root.img (ext4) and key (an ssh key of root), and is complete once
# FOLDER/complete is there. What the checks need beyond a fresh system stands in the second list.
set -euo pipefail

release=$1 folder=$2
system=systemd-sysv,udev,dbus,linux-image-amd64,initramfs-tools,iproute2,openssh-server,kmod,procps,apparmor
system+=,sudo,ca-certificates,login,passwd,cron,less
checks=git,python3,python3-pytest,python3-pytest-timeout,curl,nftables,busybox-static,strace,quota,openssh-client
checks+=,e2fsprogs,mmdebstrap,zstd,patchelf,libuv1,libjansson4,libsqlite3-0,libmnl0,libyaml-0-2,libzstd1,zlib1g
checks+=,libssl3,libcmocka0
work=$(mktemp -d "${TMPDIR:-/var/tmp}/daytona-machine.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' | awk '$2 == "Debian" { print $1; exit }')
# Names that end in t64 are those of releases with 64-bit time.
[ "$release" = bookworm ] || checks=${checks/libuv1/libuv1t64} checks=${checks/libssl3/libssl3t64}
mmdebstrap --mode=root --variant=minbase --format=directory --aptopt='APT::Install-Recommends "false"' \
    --include="$system,$checks" "$release" "$root" "${mirror:-http://deb.debian.org/debian}"

cp -L "$root/vmlinuz" "$folder/vmlinuz"
cp -L "$root/initrd.img" "$folder/initrd.img"
rm -f "$folder/key" "$folder/key.pub"
ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
install -d -m 700 "$root/root/.ssh"
install -m 600 "$folder/key.pub" "$root/root/.ssh/authorized_keys"
echo daytona-machine >"$root/etc/hostname"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/10-all.network"
chroot "$root" systemctl --quiet enable systemd-networkd ssh

truncate -s 8G "$folder/root.img"
mke2fs -q -F -t ext4 -d "$root" "$folder/root.img"
touch "$folder/complete"
