#!/usr/bin/env bash
# Puts the programs under /usr/local with two services, or takes them away again.
#
# Usage: install.sh install BIN_DIR ROOTFS_TAR TOOLS_TAR | install.sh uninstall [--purge]
# daytona-launcher runs as root, daytona-runnerd as user daytona; members of group daytona may use the
# socket /run/daytona-runnerd/runnerd.sock.
set -euo pipefail

PREFIX=/usr/local
DATA=/var/lib/daytona
UNITS=/etc/systemd/system

has_systemd() { [ -d /run/systemd/system ]; }

write_units() {
    install -d "$UNITS"
    cat >"$UNITS/daytona-launcher.service" <<EOF
[Unit]
Description=Daytona launcher: creates sandboxes
Before=daytona-runnerd.service

[Service]
ExecStart=$PREFIX/bin/daytona-launcher --data-dir $DATA --uid $(id -u daytona) --gid $(id -g daytona) --socket /run/daytona/launcher.sock
RuntimeDirectory=daytona
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
Delegate=yes
# Sandboxes outlive the launcher; a new one adopts them.
KillMode=process
Restart=always
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
EOF
    cat >"$UNITS/daytona-runnerd.service" <<EOF
[Unit]
Description=Daytona: sandboxes for agents
Requires=daytona-launcher.service
After=daytona-launcher.service network.target

[Service]
ExecStart=$PREFIX/bin/daytona-runnerd --data-dir $DATA --launcher-socket /run/daytona/launcher.sock --socket /run/daytona-runnerd/runnerd.sock
User=daytona
Group=daytona
RuntimeDirectory=daytona-runnerd
RuntimeDirectoryMode=0755
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=$DATA
ProtectHome=yes
PrivateDevices=yes
CapabilityBoundingSet=
Restart=always
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
EOF
}

do_install() {
    local bin=$1 rootfs=$2 tools=$3
    getent group daytona >/dev/null || groupadd --system daytona
    getent passwd daytona >/dev/null ||
        useradd --system --gid daytona --home-dir "$DATA" --shell /usr/sbin/nologin daytona
    install -d "$PREFIX/bin"
    install -m 755 "$bin"/daytona "$bin"/daytona-runnerd "$bin"/daytona-launcher "$bin"/daytona-toolbox \
        "$PREFIX/bin/"
    install -d -m 711 "$DATA"
    "$PREFIX/bin/daytona-runnerd" snapshot import .tools "$tools" --data-dir "$DATA"
    "$PREFIX/bin/daytona-runnerd" snapshot import daytona-debian-12 "$rootfs" --data-dir "$DATA"
    write_units
    if has_systemd; then
        systemctl daemon-reload
        systemctl enable --now daytona-launcher.service daytona-runnerd.service
        echo "installed; journalctl -u daytona-runnerd shows the API key of the first start"
    else
        echo "installed; without systemd start: sudo $PREFIX/bin/daytona-runnerd --data-dir $DATA"
    fi
}

do_uninstall() {
    if has_systemd; then
        systemctl disable --now daytona-runnerd.service daytona-launcher.service 2>/dev/null || true
    fi
    rm -f "$UNITS/daytona-launcher.service" "$UNITS/daytona-runnerd.service"
    if has_systemd; then systemctl daemon-reload; fi
    if [ -x "$PREFIX/bin/daytona-launcher" ] && [ -d "$DATA" ]; then
        "$PREFIX/bin/daytona-launcher" --data-dir "$DATA" --purge || true
    fi
    rm -f "$PREFIX"/bin/daytona "$PREFIX"/bin/daytona-runnerd "$PREFIX"/bin/daytona-launcher \
        "$PREFIX"/bin/daytona-toolbox
    rm -rf /run/daytona /run/daytona-runnerd
    if [ "${1:-}" = --purge ]; then
        rm -rf "$DATA"
        userdel daytona 2>/dev/null || true
        groupdel daytona 2>/dev/null || true
    else
        echo "kept $DATA and user daytona; --purge removes them"
    fi
}

case ${1:-} in
install) do_install "$2" "$3" "$4" ;;
uninstall) do_uninstall "${2:-}" ;;
*) echo "usage: $0 install BIN_DIR ROOTFS_TAR TOOLS_TAR | uninstall [--purge]" >&2; exit 2 ;;
esac
