#!/usr/bin/env python3
"""Turns schemas/ into C. Usage: gen.py SCHEMAS_DIR OUTPUT_DIR"""
import json
import pathlib
import sys


def errors(schemas: pathlib.Path) -> str:
    rows = json.loads((schemas / "errors.json").read_text())["errors"]
    lines = [f'    X({r["name"]}, "{r["wire"]}", {r["http"]}, {r["rpc"]})' for r in rows]
    return (
        "/* Generated from schemas/errors.json. */\n#ifndef DT_GEN_ERRORS_H\n#define DT_GEN_ERRORS_H\n\n"
        "#define DT_ERR_TABLE(X) \\\n" + " \\\n".join(lines) + "\n\n#endif\n"
    )


def main() -> None:
    schemas, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    (out / "errors.h").write_text(errors(schemas))


if __name__ == "__main__":
    main()
