#!/usr/bin/env python3
"""Turns agents-config/<client>/<file> into a C header. Usage: embed.py FOLDER HEADER"""
import pathlib
import sys


def literal(line: str) -> str:
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


def main() -> None:
    folder, header = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    rows = []
    for path in sorted(folder.glob("*/*")):
        if path.name.startswith(".") or path.suffix not in (".json", ".toml"):
            continue
        lines = "\n     ".join(literal(line) for line in path.read_text().splitlines())
        rows.append(f'    {{"{path.parent.name}",\n     {lines}}},')
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text(
        "/* Generated from agents-config/; do not edit. */\n"
        "static const struct {\n    const char *agent, *text;\n} agent_templates[] = {\n"
        + "\n".join(rows) + "\n};\n")


if __name__ == "__main__":
    main()
