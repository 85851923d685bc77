#!/usr/bin/env python3
"""Turns numbered SQL files into a C table. Usage: embed.py OUTPUT.c NNNN_name.sql..."""
import pathlib
import sys


def quote(line: str) -> str:
    return '    "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


def main() -> None:
    rows = []
    last = 0
    for path in sorted(map(pathlib.Path, sys.argv[2:])):
        number = int(path.name.split("_")[0])
        if number <= last:
            sys.exit(f"{path.name}: the number {last:04d} is taken")
        last = number
        lines = "\n".join(quote(line) for line in path.read_text().splitlines())
        rows.append(f'    {{{number}, "{path.stem}",\n{lines}}},')
    pathlib.Path(sys.argv[1]).write_text(
        "/* Generated from core/db/migrations; do not edit. */\n"
        '#include "db/migrate.h"\n\n'
        "const struct dt_db_migration dt_db_migrations[] = {\n" + "\n".join(rows) + "\n    {0, NULL, NULL}};\n")


if __name__ == "__main__":
    main()
