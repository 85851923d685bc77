#!/bin/bash
# Builds the default snapshot: this machine's own Debian or Ubuntu release with the tools that agents
# expect, as an OCI image layout in one tar file, for `daytona-runnerd snapshot import`.
#
# usage: build-default.sh OUT.tar [full]   (as root; needs mmdebstrap, zstd and the apt sources of the host)
# `full` adds the many packages of full.txt: models, data frames, web frameworks.
#
# The packages come from the sources that this machine's apt uses for its own release, through its apt
# proxy settings; what languages.sh adds comes through its settings of pip and npm. The same packages on the
# same day give the same bytes; SOURCE_DATE_EPOCH fixes the day.
set -euo pipefail
export LC_ALL=C

packages=python3,python3-pip,python3-venv,nodejs,npm,git,curl,ca-certificates,sudo,procps,less
packages+=,openssh-client,iproute2,iputils-ping,tzdata,xz-utils,unzip
packages+=,python3-pylsp,vim,tmux,htop

die() {
    echo "build-default.sh: $*" >&2
    exit 1
}

# "deb URI RELEASE COMPONENT..." for every index of this release that the distribution itself signs.
apt_sources() {
    local codename=$1
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME) $(ORIGIN)' \
        'Created-By: Packages' | awk -v codename="$codename" '
        $5 != "Debian" && $5 != "Ubuntu" { next }
        $4 != codename && $4 != codename "-updates" && $4 != codename "-security" { next }
        $2 ~ /-(backports|proposed)/ || seen[$0]++ { next }
        !(($1 " " $2) in components) { order[++n] = $1 " " $2 }
        { components[$1 " " $2] = components[$1 " " $2] " " $3 }
        END { for (i = 1; i <= n; i++) print "deb " order[i] components[order[i]] }'
}

# A blob of the layout: moves the file to its digest's name and prints "digest size".
blob() {
    local digest size
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    size=$(stat -c %s "$1")
    mv "$1" "$layout/blobs/sha256/$digest"
    echo "$digest $size"
}

kind=${2:-default}
[[ $# -ge 1 && $# -le 2 && ($kind = default || $kind = full) ]] || die "usage: build-default.sh OUT.tar [full]"
[ "$(id -u)" -eq 0 ] || die "needs root, for mmdebstrap"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
command -v zstd >/dev/null || die "zstd is missing: apt-get install zstd"
out=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
export DAYTONA_PYTHON_PACKAGES=$here/python.txt
if [ "$kind" = full ]; then
    DAYTONA_PYTHON_PACKAGES=$here/full.txt
    packages+=,libgl1,libglib2.0-0 # opencv
fi
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$codename" ] || die "/etc/os-release names no VERSION_CODENAME; use Debian or Ubuntu"

sources=$(apt_sources "$codename")
if [ -z "$sources" ]; then
    apt-get update >&2
    sources=$(apt_sources "$codename")
fi
[ -n "$sources" ] || die "apt has no source for $codename; see apt-get indextargets"

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(($(date +%s) / 86400 * 86400))}
work=$(mktemp -d "${TMPDIR:-/tmp}/daytona-snapshot.XXXXXX")
trap 'rm -rf "$work"' EXIT
layout=$work/layout
mkdir -p "$layout/blobs/sha256"

# How this machine reaches its mirrors matters while building only; clean.sh removes the file.
apt-config dump | grep -iE '^Acquire::(https?|Retries)' >"$work/apt.conf" || true

mmdebstrap --mode=root --variant=apt --format=tar --include="$packages" \
    --aptopt="$work/apt.conf" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --customize-hook="'$here/customize.sh' \"\$1\"" \
    --customize-hook="'$here/languages.sh' \"\$1\"" \
    --customize-hook="'$here/clean.sh' \"\$1\"" \
    "$codename" "$work/layer.tar" - <<<"$sources" >&2

diff_id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
zstd -q -T0 -3 --rm "$work/layer.tar" -o "$work/layer.tar.zst"
read -r layer layer_size < <(blob "$work/layer.tar.zst")

arch=$(dpkg --print-architecture)
ca=/etc/ssl/certs/ca-certificates.crt
path=/home/daytona/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cat >"$work/config.json" <<JSON
{"architecture":"$arch","os":"linux","config":{"User":"daytona","WorkingDir":"/home/daytona",
"Env":["PATH=$path","LANG=C.UTF-8","SSL_CERT_FILE=$ca","NODE_EXTRA_CA_CERTS=$ca","REQUESTS_CA_BUNDLE=$ca"],
"Cmd":["/bin/bash"]},"rootfs":{"type":"layers","diff_ids":["sha256:$diff_id"]}}
JSON
read -r config config_size < <(blob "$work/config.json")

oci=application/vnd.oci.image
cat >"$work/manifest.json" <<JSON
{"schemaVersion":2,"mediaType":"$oci.manifest.v1+json",
"config":{"mediaType":"$oci.config.v1+json","digest":"sha256:$config","size":$config_size},
"layers":[{"mediaType":"$oci.layer.v1.tar+zstd","digest":"sha256:$layer","size":$layer_size}]}
JSON
read -r manifest manifest_size < <(blob "$work/manifest.json")

cat >"$layout/index.json" <<JSON
{"schemaVersion":2,"mediaType":"$oci.index.v1+json",
"manifests":[{"mediaType":"$oci.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,
"platform":{"architecture":"$arch","os":"linux"}}]}
JSON
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

tar -C "$layout" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -cf "$out.tmp" oci-layout index.json blobs
mv "$out.tmp" "$out"
