#!/usr/bin/env bash
# Puts the programs under /usr/local with their services, or takes them away again.
#
# Usage: install.sh install BIN_DIR ROOTFS_TAR TOOLS_TAR | install.sh uninstall [--purge]
# daytona-launcher runs as root, daytona-runnerd as user daytona; members of group daytona may use the
# socket /run/daytona-runnerd/runnerd.sock. Installing again updates and keeps sandboxes running.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin # a plain `su` leaves them out
PREFIX=/usr/local
DATA=/var/lib/daytona
UNITS=/etc/systemd/system
SERVICES="daytona-runnerd.service daytona-launcher.service daytona-sandboxes.service"

has_systemd() { [ -d /run/systemd/system ]; }

# Owns the control groups of all sandboxes. The launcher's own group would not do: the kernel lets no
# process into a group that gives its controllers to others, so the launcher could not start again.
write_sandboxes_unit() {
    cat >"$UNITS/daytona-sandboxes.service" <<EOF
[Unit]
Description=Daytona sandboxes: stopping this ends them all, their disks stay

[Service]
Type=notify
ExecStart=$PREFIX/bin/daytona-launcher --hold
Slice=system.slice
Delegate=yes
TasksMax=infinity
OOMPolicy=continue
OOMScoreAdjust=-1000
TimeoutStopSec=10
EOF
}

# No option that is a seccomp filter, an rlimit or no_new_privs: sandboxes would inherit it. No option
# that hides parts of /sys, /proc/sys or /dev, which are what it works with.
write_launcher_unit() {
    cat >"$UNITS/daytona-launcher.service" <<EOF
[Unit]
Description=Daytona launcher: creates sandboxes
Requires=daytona-sandboxes.service
After=daytona-sandboxes.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=$PREFIX/bin/daytona-launcher --data-dir $DATA --uid $(id -u daytona) --gid $(id -g daytona) --socket /run/daytona/launcher.sock --cgroup system.slice/daytona-sandboxes.service
Slice=system.slice
RuntimeDirectory=daytona
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
KillMode=mixed
TimeoutStopSec=20
Restart=always
RestartSec=1
LimitNOFILE=65536
ProtectSystem=full
ProtectHome=yes
PrivateTmp=yes
UMask=0022

[Install]
WantedBy=multi-user.target
EOF
}

write_runnerd_unit() {
    cat >"$UNITS/daytona-runnerd.service" <<EOF
[Unit]
Description=Daytona: sandboxes for agents
Wants=daytona-launcher.service
After=daytona-launcher.service network.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=$PREFIX/bin/daytona-runnerd --data-dir $DATA --launcher-socket /run/daytona/launcher.sock --socket /run/daytona-runnerd/runnerd.sock
User=daytona
Group=daytona
RuntimeDirectory=daytona-runnerd
RuntimeDirectoryMode=0755
Restart=always
RestartSec=1
LimitNOFILE=65536
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=$DATA
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# With these it confines itself further.
SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
EOF
}

do_install() {
    local bin=$1 rootfs=$2 tools=$3
    getent group daytona >/dev/null || groupadd --system daytona
    getent passwd daytona >/dev/null ||
        useradd --system --gid daytona --home-dir "$DATA" --no-create-home --shell /usr/sbin/nologin daytona
    install -d "$PREFIX/bin" "$UNITS"
    install -m 755 "$bin"/daytona "$bin"/daytona-runnerd "$bin"/daytona-launcher "$bin"/daytona-toolbox \
        "$PREFIX/bin/"
    install -d -m 711 "$DATA"
    "$PREFIX/bin/daytona-runnerd" snapshot import .tools "$tools" --data-dir "$DATA"
    "$PREFIX/bin/daytona-runnerd" snapshot import daytona-debian-12 "$rootfs" --data-dir "$DATA"
    if ! has_systemd; then
        echo "installed; without systemd start: sudo $PREFIX/bin/daytona-runnerd --data-dir $DATA"
        return
    fi
    write_sandboxes_unit
    write_launcher_unit
    write_runnerd_unit
    systemctl daemon-reload
    systemctl enable --quiet daytona-launcher.service daytona-runnerd.service
    systemctl restart daytona-launcher.service daytona-runnerd.service || {
        journalctl --no-pager -n 20 -u daytona-launcher.service -u daytona-runnerd.service >&2
        echo "installed, but the services do not come up: the lines above say why" >&2
        exit 1
    }
    echo "installed. Add yourself to the group: sudo usermod -aG daytona \$USER, and log in again."
    echo "journalctl -u daytona-runnerd shows the API key of the first start."
}

do_uninstall() {
    if has_systemd; then
        # shellcheck disable=SC2086 # a list
        systemctl disable --quiet --now $SERVICES 2>/dev/null || true
        rm -f "$UNITS/daytona-launcher.service" "$UNITS/daytona-runnerd.service" \
            "$UNITS/daytona-sandboxes.service"
        systemctl daemon-reload
        # shellcheck disable=SC2086
        systemctl reset-failed $SERVICES 2>/dev/null || true
    fi
    if [ -x "$PREFIX/bin/daytona-launcher" ] && [ -d "$DATA" ]; then
        "$PREFIX/bin/daytona-launcher" --data-dir "$DATA" --purge || true
    fi
    rm -f "$PREFIX"/bin/daytona "$PREFIX"/bin/daytona-runnerd "$PREFIX"/bin/daytona-launcher \
        "$PREFIX"/bin/daytona-toolbox
    rm -rf /run/daytona /run/daytona-runnerd
    if [ "${1:-}" = --purge ]; then
        if mountpoint -q "$DATA"; then
            find "$DATA" -mindepth 1 -delete
            echo "$DATA is empty and stays: a file system is mounted there"
        else
            rm -rf "$DATA"
        fi
        userdel daytona 2>/dev/null || true
        groupdel daytona 2>/dev/null || true
        echo "removed, with all data"
    else
        echo "removed; kept $DATA and user daytona (--purge removes them too)"
    fi
}

case ${1:-} in
install) do_install "$2" "$3" "$4" ;;
uninstall) do_uninstall "${2:-}" ;;
*) echo "usage: $0 install BIN_DIR ROOTFS_TAR TOOLS_TAR | uninstall [--purge]" >&2; exit 2 ;;
esac
