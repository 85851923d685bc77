#!/bin/bash
# What the default snapshot has from PyPI and npm: $DAYTONA_PYTHON_PACKAGES and npm/. Called by build-default.sh with
# the new root.
#
# pip and npm run in the new root, with this machine's settings of where packages come from.
set -euo pipefail
root=$1
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$root/tmp/languages.XXXXXX")
inside=${work#"$root"}
trap 'rm -rf "$work"' EXIT

in_root() {
    chroot "$root" env HOME="$inside" PIP_CONFIG_FILE="$inside/pip.conf" npm_config_globalconfig="$inside/npmrc" \
        npm_config_cache="$inside/cache" PIP_CACHE_DIR="$inside/cache" "$@"
}

# The first of the files that there is, under that name in the new root.
setting() {
    local name=$1 file
    shift
    for file in "$@"; do
        if [ -f "$file" ]; then
            cp "$file" "$work/$name"
            return
        fi
    done
    : >"$work/$name"
}

setting pip.conf ~/.config/pip/pip.conf ~/.pip/pip.conf /etc/pip.conf
setting npmrc /usr/local/etc/npmrc /usr/etc/npmrc /etc/npmrc
setting .npmrc ~/.npmrc

cp "$DAYTONA_PYTHON_PACKAGES" "$work/python.txt"
in_root env PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --no-compile --root-user-action=ignore \
    --only-binary :all: -r "$inside/python.txt"
# Compiled files name their source's time, which the archive will hold.
find "$root"/usr/local/lib/python3* -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
chroot "$root" env -u SOURCE_DATE_EPOCH sh -c 'python3 -m compileall -q -j 0 /usr/local/lib/python3*'

cp "$here"/npm/package*.json "$root/usr/local/lib/"
in_root npm ci --prefix /usr/local/lib --silent --ignore-scripts --no-audit --no-fund
rm -f "$root"/usr/local/lib/package*.json "$root/usr/local/lib/node_modules/.package-lock.json"
rm -rf "$root"/usr/local/lib/node_modules/typescript/lib/{cs,de,es,fr,it,ja,ko,pl,pt-br,ru,tr,zh-cn,zh-tw}
for program in tsc tsserver ts-node typescript-language-server; do
    ln -s "../lib/node_modules/.bin/$program" "$root/usr/local/bin/$program"
done
# npx looks in the user's own prefix.
for program in tsc ts-node; do
    ln -s "/usr/local/bin/$program" "$root/home/daytona/.local/bin/$program"
    chown -h 1000:1000 "$root/home/daytona/.local/bin/$program"
done

# The list of fonts, which the first chart of each sandbox would have to make. In order, for the same bytes each time.
chroot --userspec=1000:1000 "$root" env HOME=/home/daytona python3 - <<'END'
import json
import pathlib
import matplotlib.font_manager

path = next(pathlib.Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))
fonts = json.loads(path.read_text())
for names in ("ttflist", "afmlist"):
    fonts[names].sort(key=lambda font: font["fname"])
path.write_text(json.dumps(fonts))
END
