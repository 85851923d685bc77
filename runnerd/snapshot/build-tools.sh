#!/usr/bin/env bash
# Makes the tools layer: a git (with ssh and https) that runs in any image, below /.daytona/git.
#
# Usage: build-tools.sh ROOTFS OUT.tar
# ROOTFS is a directory with a Debian or Ubuntu root file system that has git and openssh-client, or what
# build-default.sh made of one.
# The programs are copied with their libraries and their own dynamic linker, so that neither the image's
# libc nor any path outside /.daytona/git is used.
set -euo pipefail

source=$1 out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -d "$source" ]; then
    root=$source
else
    root=$work/root
    mkdir "$root"
    layer=$(tar -tvf "$source" | sort -n -k 3 | awk 'END { print $NF }') # the largest blob
    # Not all of these names exist on every release; what is missing is told below.
    tar -xOf "$source" "$layer" | zstd -dc |
        tar -C "$root" -x --wildcards --no-wildcards-match-slash './usr/bin/git' './usr/bin/ssh' \
            './usr/lib/git-core/git-remote-http' './usr/lib/*-linux-gnu' './lib*' './usr/lib64' \
            './etc/ssl/certs/ca-certificates.crt' 2>/dev/null || true
fi

prefix=.daytona/git
tree=$work/tree/$prefix
mkdir -p "$tree/bin" "$tree/lib" "$tree/libexec/git-core" "$tree/templates"
triplet=$(basename "$(dirname "$(find "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu -name 'libc.so.6' | head -n 1)")")

# Finds a library in the root file system.
library() {
    local dir
    for dir in "$root/usr/lib/$triplet" "$root/lib/$triplet" "$root/usr/lib" "$root/lib" "$root/lib64"; do
        if [ -e "$dir/$1" ]; then
            readlink -f "$dir/$1"
            return
        fi
    done
    echo "build-tools: $1 is not in $root" >&2
    return 1
}

# Copies the libraries that a file needs, and theirs.
libraries_of() {
    local name
    for name in $(patchelf --print-needed "$1"); do
        if [ ! -e "$tree/lib/$name" ]; then
            install -m 755 "$(library "$name")" "$tree/lib/$name"
            libraries_of "$tree/lib/$name"
        fi
    done
}

program() {
    install -m 755 "$root/$1" "$tree/$2"
    libraries_of "$tree/$2"
    patchelf --set-interpreter "/$prefix/lib/ld.so" --set-rpath "/$prefix/lib" "$tree/$2"
}

case $(uname -m) in
x86_64) linker=ld-linux-x86-64.so.2 ;;
aarch64) linker=ld-linux-aarch64.so.1 ;;
*) echo "build-tools: no dynamic linker known for $(uname -m)" >&2; exit 1 ;;
esac
program usr/bin/git bin/git
program usr/bin/ssh bin/ssh
program usr/lib/git-core/git-remote-http libexec/git-core/git-remote-http
for library in "$tree"/lib/*.so*; do
    case $library in
    */ld-linux*) ;;
    *) patchelf --set-rpath "/$prefix/lib" "$library" ;;
    esac
done
install -m 755 "$(library "$linker")" "$tree/lib/ld.so"
ln -s git-remote-http "$tree/libexec/git-core/git-remote-https"
ln -s ../../bin/git "$tree/libexec/git-core/git"
ln -s ../../bin/git "$tree/libexec/git-core/git-upload-pack" # for file URLs
install -m 644 "$root/etc/ssl/certs/ca-certificates.crt" "$tree/ca-certificates.crt"
chmod -R u+rwX,go+rX,go-w "$work/tree"
tar -C "$work/tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$out" .
