#!/bin/bash
# What the default snapshot has beyond its packages. Called by build-default.sh with the new root.
set -euo pipefail
root=$1
ca=/etc/ssl/certs/ca-certificates.crt

chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash daytona
install -d -m 0755 -o 1000 -g 1000 "$root/home/daytona/.local" "$root/home/daytona/.local/bin"

cat >"$root/etc/sudoers.d/daytona" <<'END'
daytona ALL=(ALL:ALL) NOPASSWD: ALL
Defaults env_keep += "SSL_CERT_FILE NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE"
Defaults env_keep += "http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY"
END
chmod 0440 "$root/etc/sudoers.d/daytona"

# pip installs without a virtual environment; what it installs for the user lands on the PATH.
cat >"$root/etc/pip.conf" <<END
[global]
break-system-packages = true
disable-pip-version-check = true
cert = $ca
END
printf 'prefix=/home/daytona/.local\nupdate-notifier=false\nfund=false\n' >"$root/home/daytona/.npmrc"
chown 1000:1000 "$root/home/daytona/.npmrc"
[ -e "$root/usr/bin/python" ] || ln -s python3 "$root/usr/bin/python"

# Sandboxes allow ping sockets and have no CAP_NET_RAW: a ping that asks for it would not even start.
if [ -e "$root/usr/bin/ping" ]; then
    [ ! -x "$root/usr/sbin/setcap" ] || chroot "$root" setcap -r /usr/bin/ping 2>/dev/null || true
    chmod u-s "$root/usr/bin/ping"
fi

ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
echo Etc/UTC >"$root/etc/timezone"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"

# What this machine trusts, its sandboxes trust.
for crt in /usr/local/share/ca-certificates/*.crt; do
    [ -f "$crt" ] && install -m 0644 "$crt" "$root/usr/local/share/ca-certificates/"
done
chroot "$root" update-ca-certificates >/dev/null
