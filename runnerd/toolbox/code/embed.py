#!/usr/bin/env python3
"""Writes a C file that holds files: embed.py OUT.c FILE... makes dt_script_run_py of run.py."""
import pathlib
import sys

out, *files = map(pathlib.Path, sys.argv[1:])
text = ['#include "toolbox/script.h"\n']
for file in files:
    noun = "script_" + file.name.replace(".", "_")
    data = file.read_bytes()
    rows = [", ".join(map(str, data[i:i + 24])) for i in range(0, len(data), 24)]
    text.append(f"static const char {noun}[] = {{\n    " + ",\n    ".join(rows) + "};\n"
                f"const struct dt_str dt_{noun} = {{{noun}, sizeof({noun})}};\n")
out.write_text("\n".join(text))
