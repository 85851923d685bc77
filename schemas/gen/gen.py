#!/usr/bin/env python3
"""Turns schemas/ into C. Usage: gen.py SCHEMAS_DIR OUTPUT_DIR
Prints docs/rest-api.md: gen.py --docs SCHEMAS_DIR

The last part of OUTPUT_DIR is how the C includes what is generated: "gen/rest_api.h".

errors.json           -> errors.h       the X-macro table of core/base/err.h
permissions.json      -> permissions.h  one bit for each permission, and its wire string
mcp/*.json            -> mcp_tools.[hc] a struct and a parser per tool, and the tools/list entries
rest/*.json           -> rest_api.[hc]  structs, parsers, printers, the route table of daytona-runnerd
toolbox/*.json        -> toolbox_api.[hc]  the same for daytona-toolbox
all three             -> mcp_handlers.h, rest_handlers.h, toolbox_handlers.h  the functions that serve them
both                  -> openapi.[hc]   the OpenAPI document of what is served
config/<program>.json -> config_<program>.[hc]  the settings of a program

The C that comes out is tables; core/json/schema.c and core/json/config.c interpret them.
"""
import json
import pathlib
import re
import sys

HEAD = "/* Generated from schemas/; do not edit. */\n"
C_TYPES = {"string": "STRING", "integer": "INTEGER", "number": "NUMBER", "boolean": "BOOLEAN",
           "object": "OBJECT", "array": "ARRAY"}


def snake(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()
    return {"public": "is_public", "class": "class_name", "default": "default_value"}.get(name, name)


def quote(text: str) -> str:
    """A C string literal, split so that no escape runs into the next character."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif 32 <= byte < 127:
            out.append(char)
        else:
            out.append(f'\\{byte:03o}')
    return '"' + "".join(out) + '"'


def long_quote(text: str) -> str:
    """ISO C promises only 4,095 characters a literal, but they concatenate: break the source lines."""
    return "\n    ".join(quote(text[i:i + 80]) for i in range(0, len(text), 80)) or '""'


class Module:
    """One generated pair of files with objects that may refer to each other by name."""

    def __init__(self, prefix: str, objects: dict):
        self.prefix, self.objects = prefix, objects
        self.source, self.count, self.nodes = [], 0, {}

    def strings(self, values) -> str:
        self.count += 1
        name = f"strings_{self.count}"
        items = "".join(quote(v) + ", " for v in values)
        self.source.append(f"static const char *const {name}[] = {{{items}NULL}};")
        return name

    def node(self, schema: dict) -> str:
        """Emits a struct dt_schema_node and returns its C name."""
        if "$ref" in schema:
            return self.named(schema["$ref"])
        kind = schema.get("type", "object")
        parts = [f".type = DT_SCHEMA_{C_TYPES[kind]}"]
        if "enum" in schema:
            parts.append(f".enums = {self.strings(schema['enum'])}")
        for key, member in (("minimum", "minimum"), ("maximum", "maximum")):
            if key in schema:
                parts.append(f".{member} = {float(schema[key])!r}, .has_{member} = true")
        for key, member in (("minLength", "min_length"), ("maxLength", "max_length"),
                            ("minItems", "min_items"), ("maxItems", "max_items"),
                            ("maxProperties", "max_items")):
            if key in schema:
                parts.append(f".{member} = {schema[key]}")
        if "items" in schema:
            parts.append(f".values = &{self.node(schema['items'])}")
        if isinstance(schema.get("additionalProperties"), dict):
            parts.append(f".values = &{self.node(schema['additionalProperties'])}")
        if schema.get("properties"):
            fields = self.fields(schema, None)
            parts.append(f".fields = {fields}, .nfields = sizeof({fields}) / sizeof({fields}[0])")
        self.count += 1
        name = f"node_{self.count}"
        self.source.append(f"static const struct dt_schema_node {name} = {{{', '.join(parts)}}};")
        return name

    def named(self, name: str) -> str:
        if name not in self.nodes:
            self.nodes[name] = self.node(self.objects[name])
        return self.nodes[name]

    def resolve(self, schema: dict) -> dict:
        return self.objects[schema["$ref"]] if "$ref" in schema else schema

    def fields(self, schema: dict, struct) -> str:
        """Emits the table of an object's members; `struct` is the C type when they are stored."""
        rows = []
        required, nullable = schema.get("required", []), schema.get("x-nullable", [])
        for key, sub in schema["properties"].items():
            kind = self.resolve(sub).get("type", "object")
            parts = [f".name = {quote(key)}", f".node = &{self.node(sub)}"]
            if sub.get("x-aliases"):
                parts.append(f".aliases = {self.strings(sub['x-aliases'])}")
            if key in required:
                parts.append(".required = true")
            if key in nullable:
                parts.append(".nullable = true")
            if sub.get("x-bytes"):
                parts.append(".bytes = true")
            if sub.get("x-secret"):
                parts.append(".secret = true")
            if struct:
                parts.append(f".offset = offsetof({struct}, {snake(key)})")
                if kind in ("integer", "number", "boolean"):
                    parts.append(f".has_offset = offsetof({struct}, has_{snake(key)})")
            if "default" in sub:
                value = sub["default"]
                if kind == "string":
                    parts.append(f".default_text = {quote(value)}")
                else:
                    parts.append(f".default_number = {float(value)!r}")
            rows.append("    {" + ", ".join(parts) + "},")
        self.count += 1
        name = f"fields_{self.count}"
        self.source.append(f"static const struct dt_schema_field {name}[] = {{\n" + "\n".join(rows) + "\n};")
        return name

    def struct(self, name: str, schema: dict, printer: bool) -> str:
        """Emits the functions of one object; returns its declarations for the header."""
        cname = f"{self.prefix}_{name}"
        members = ["    json_t *json_owner; /* keeps the text alive; freed by _done */"]
        for key, sub in schema.get("properties", {}).items():
            kind = self.resolve(sub).get("type", "object")
            member = snake(key)
            if sub.get("x-bytes"):
                members.append(f"    struct dt_str {member};")
            elif kind == "string":
                members.append(f"    const char *{member};")
            elif kind in ("integer", "number", "boolean"):
                ctype = {"integer": "int64_t", "number": "double", "boolean": "bool"}[kind]
                members.append(f"    {ctype} {member};\n    bool has_{member};")
            else:
                members.append(f"    json_t *{member};")
        table = self.fields(schema, f"struct {cname}") if schema.get("properties") else "NULL"
        count = f"sizeof({table}) / sizeof({table}[0])" if schema.get("properties") else "0"
        self.source.append(
            f"static const struct dt_schema_object object_{name} = "
            f"{{.fields = {table}, .nfields = {count}, .size = sizeof(struct {cname})}};\n"
            f"int {cname}_parse(json_t *in, struct {cname} *out, struct dt_err *err)\n"
            f"{{\n    return dt_schema_parse(&object_{name}, in, out, err);\n}}\n"
            f"int {cname}_parse_query(struct dt_str query, struct {cname} *out, struct dt_err *err)\n"
            f"{{\n    return dt_schema_parse_query(&object_{name}, query, out, err);\n}}\n"
            f"void {cname}_done(struct {cname} *x)\n{{\n    dt_schema_done(&object_{name}, x);\n}}\n"
            + (f"json_t *{cname}_print(const struct {cname} *x)\n"
               f"{{\n    return dt_schema_print(&object_{name}, x);\n}}\n" if printer else ""))
        return (f"struct {cname} {{\n" + "\n".join(members) + "\n};\n"
                f"int {cname}_parse(json_t *in, struct {cname} *out, struct dt_err *err) DT_MUST_CHECK;\n"
                f"int {cname}_parse_query(struct dt_str query, struct {cname} *out, struct dt_err *err)\n"
                f"    DT_MUST_CHECK;\n"
                f"void {cname}_done(struct {cname} *x);\n"
                + (f"json_t *{cname}_print(const struct {cname} *x);\n" if printer else ""))


def without_extensions(schema):
    if isinstance(schema, dict):
        return {k: without_extensions(v) for k, v in schema.items() if not k.startswith("x-")}
    return [without_extensions(v) for v in schema] if isinstance(schema, list) else schema


def read(folder: pathlib.Path) -> list:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]


def errors(schemas: pathlib.Path) -> str:
    rows = json.loads((schemas / "errors.json").read_text())["errors"]
    lines = [f'    X({r["name"]}, "{r["wire"]}", {r["http"]}, {r["rpc"]})' for r in rows]
    return (HEAD + "#ifndef DT_GEN_ERRORS_H\n#define DT_GEN_ERRORS_H\n\n"
            "#define DT_ERR_TABLE(X) \\\n" + " \\\n".join(lines) + "\n\n#endif\n")


def permission(wire: str) -> str:
    return "DT_PERM_" + snake(wire).upper()


def permissions(schemas: pathlib.Path) -> str:
    rows = json.loads((schemas / "permissions.json").read_text())["permissions"]
    bits = [f"    {permission(r['wire'])} = 1 << {i}," for i, r in enumerate(rows)]
    first = " | ".join(permission(r["wire"]) for r in rows if r.get("first"))
    table = [f"    X({permission(r['wire'])}, {quote(r['wire'])})" for r in rows]
    return (HEAD + "#ifndef DT_GEN_PERMISSIONS_H\n#define DT_GEN_PERMISSIONS_H\n\n"
            "enum dt_permission {\n" + "\n".join(bits) + f"\n    DT_PERM_ALL = (1 << {len(rows)}) - 1,\n"
            f"    DT_PERM_FIRST = {first or 0},\n}};\n\n"
            "#define DT_PERMISSION_TABLE(X) \\\n" + " \\\n".join(table) + "\n\n#endif\n")


# What an audited action is about, by its path, and which parameters may name it.
TARGETS = (
    (r"/organizations/({organizationId}/)?invitations\b", "organization_invitation", ("invitationId",)),
    (r"/organizations/{organizationId}/roles\b", "organization_role", ("roleId",)),
    (r"/organizations/{organizationId}/users\b", "organization_user", ("userId",)),
    (r"(/admin|/webhooks)?/organizations\b", "organization", ("organizationId",)),
    (r"/admin/webhooks/organizations\b", "organization", ("organizationId",)),
    (r"/api-keys\b", "api_key", ("name",)),
    (r"(/admin)?/docker-registry\b", "docker_registry", ("id",)),
    (r"(/admin)?/runners\b", "runner", ("id",)),
    (r"(/admin)?/snapshots\b", "snapshot", ("id", "idOrName")),
    (r"(/admin)?/users\b", "user", ("id",)),
    (r"(/admin)?/(sandbox|toolbox|workspace)\b", "sandbox", ("idOrName", "sandboxId", "workspaceId")),
    (r"/regions\b", "region", ("id",)),
    (r"/volumes\b", "volume", ("volumeId",)),
)


def target(o: dict) -> tuple:
    """(type, index of the parameter that names it or -1, key of the answer that names it)."""
    if "audit" not in o or ("target" in o and not o["target"]):
        return None, -1, None
    if o["audit"].startswith("toolbox_"):
        return "sandbox", -1, None
    found = [t[1:] for t in TARGETS if re.match(t[0], o["path"])]
    if "target" in o:
        found = [(o["target"], ("id",))]
    if not found:
        sys.exit(f"{o['id']}: it is audited, and nothing says what it is about")
    kind, names = found[0]
    params = re.findall(r"{(\w+)}", o["path"])
    index = next((params.index(n) for n in names if n in params), -1)
    return kind, index, "name" if kind == "api_key" else "id"


ACCESS = {"none": "OPEN", "user": "USER", "member": "MEMBER", "owner": "OWNER", "admin": "ADMIN", "service": "SERVICE"}


def route(o: dict) -> str:
    """The row of one operation in its route table, core/json/route.h."""
    names = re.findall(r"{(\w+)}", o["path"])
    services = " | ".join("DT_SERVICE_" + snake(s).upper() for s in o.get("services", []))

    def text(key):
        return quote(o[key]) if o.get(key) else "NULL"

    def flag(key):
        return "true" if o.get(key) else "false"

    def schema(key):
        return f"&object_{snake(o[key])}" if key in o else "NULL"

    org = names.index("organizationId") if "organizationId" in names else -1
    kind, target_param, target_key = target(o)
    return (f"    {{.id = {text('id')}, .method = {text('method')}, .path = {text('path')}, "
            f".audit = {text('audit')}, .unserved = {text('unserved')}, "
            f".access = DT_ACCESS_{ACCESS[o.get('auth', 'member')]}, "
            f".permissions = {permission(o['scope']) if 'scope' in o else 0}, .services = {services or 0}, "
            f".org_param = {org}, .status = {o.get('status', 200)}, "
            f".limit = DT_LIMIT_{snake(o.get('limit', 'none')).upper()}, .login = {flag('login')}, "
            f".or_admin = {flag('or_admin')}, "
            f".active = {flag('active')}, .body = {schema('body')}, .query = {schema('query')}, "
            f".target = {quote(kind) if kind else 'NULL'}, .target_param = {target_param}, "
            f".target_key = {quote(target_key) if target_key else 'NULL'}}},")


def pair(out: pathlib.Path, name: str, header: str, source: str) -> None:
    guard = f"DT_GEN_{name.upper()}_H"
    (out / f"{name}.h").write_text(
        f'{HEAD}#ifndef {guard}\n#define {guard}\n\n#include "json/schema.h"\n\n{header}\n#endif\n')
    (out / f"{name}.c").write_text(f'{HEAD}#include "{out.name}/{name}.h"\n\n#include <stddef.h>\n\n{source}\n')


def handlers(out: pathlib.Path, name: str, declarations: list, rows: list) -> None:
    """What each operation runs: to be included once the types that it names are known. The macro is
    the initializer of a table."""
    macro = f"DT_{name.upper()}_HANDLERS"
    body = " \\\n".join([f"#define {macro}", *(f"    {row}," for row in rows)])
    guard = f"DT_GEN_{name.upper()}_HANDLERS_H"
    declared = "\n".join(dict.fromkeys(declarations))
    (out / f"{name}_handlers.h").write_text(
        f'{HEAD}#ifndef {guard}\n#define {guard}\n\n{declared}\n\n{body}\n\n#endif\n')


def mcp(schemas: pathlib.Path, out: pathlib.Path) -> None:
    tools = sorted(read(schemas / "mcp"), key=lambda t: t["order"])
    module = Module("dt_mcp", {})
    header, ids, rows = [], [], []
    for tool in tools:
        name = tool["name"]
        header.append(module.struct(f"{name}_in", tool["input"], False))
        ids.append(f"    DT_MCP_{name.upper()},")
        entry = {"name": name, "title": tool["title"], "description": tool["description"],
                 "inputSchema": without_extensions(tool["input"])}
        if "output" in tool:
            entry["outputSchema"] = without_extensions(tool["output"])
        entry["annotations"] = tool["annotations"]
        listing = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        aliases = module.strings(tool.get("aliases", []))
        rows.append(f"    {{{quote(name)}, {aliases},\n    {long_quote(listing)}}},")
    header.append("enum dt_mcp_tool {\n" + "\n".join(ids) + "\n    DT_MCP_TOOL_COUNT\n};\n")
    header.append("struct dt_mcp_tool_row {\n    const char *name;\n"
                  "    const char *const *aliases; /* ended by NULL */\n"
                  "    const char *listing;        /* the tools/list entry, compact JSON */\n};\n"
                  "extern const struct dt_mcp_tool_row dt_mcp_tool_rows[];\n")
    source = module.source + ["const struct dt_mcp_tool_row dt_mcp_tool_rows[] = {\n" + "\n".join(rows)
                              + "\n    {NULL, NULL, NULL}};"]
    pair(out, "mcp_tools", "\n".join(header), "\n".join(source))
    names = [tool["name"] for tool in tools]
    handlers(out, "mcp", [f"extern const struct dt_tool dt_tool_{name};" for name in names],
             [f"[DT_MCP_{name.upper()}] = &dt_tool_{name}" for name in names])


def shape(o: dict) -> tuple:
    return o["method"], re.sub(r"{\w+}", "{}", o["path"])


def operations_of(files: list) -> list:
    """Those with a fixed segment before those with a parameter in its place: the first that fits a
    request is taken. What is served in one file and unserved in another is served."""
    every = [o for f in files for o in f.get("operations", [])]
    served = [shape(o) for o in every if "unserved" not in o]
    kept = [o for o in every if "unserved" not in o or shape(o) not in served]
    shapes = [shape(o) for o in kept]
    for s in shapes:
        if shapes.count(s) > 1:
            sys.exit(f"{s[0]} {s[1]}: two operations")
    return sorted(kept, key=lambda o: [segment.startswith("{") for segment in o["path"].split("/")])


def api(schemas: pathlib.Path, out: pathlib.Path, folder: str, prefix: str) -> list:
    """Returns the operations that are served."""
    files = read(schemas / folder)
    objects = {k: v for f in files for k, v in f.get("objects", {}).items()}
    operations = operations_of(files)
    module = Module(prefix, objects)
    header = [module.struct(snake(name), schema, True) for name, schema in objects.items()
              if schema.get("type", "object") == "object"]
    upper, short = prefix.upper(), prefix
    ids = "\n".join(f"    {upper}_{o['id'].upper()}," for o in operations)
    header.append(f"enum {short}_op {{\n{ids}\n    {upper}_OP_COUNT\n}};\n")
    header.append(f"extern const struct dt_route {short}_routes[{upper}_OP_COUNT];\n")
    rows = "\n".join(route(o) for o in operations)
    source = module.source + [f"const struct dt_route {short}_routes[{upper}_OP_COUNT] = {{\n{rows}\n}};"]
    header.insert(0, '#include "json/route.h"\n')
    source.insert(0, f'#include "{out.name}/permissions.h"\n')
    pair(out, f"{folder}_api", "\n".join(header), "\n".join(source))
    return [o for o in operations if "unserved" not in o]


def rest(schemas: pathlib.Path, out: pathlib.Path) -> None:
    declarations, rows = [], []
    for o in api(schemas, out, "rest", "dt_rest"):
        function = "dt_api_" + o.get("handler", o["id"])
        kind, member = ("dt_api_body_op", "with_body") if "body" in o else ("dt_api_op", "plain")
        declarations.append(f"{kind} {function};")
        rows.append(f"[DT_REST_{o['id'].upper()}] = {{.{member} = {function}}}")
    handlers(out, "rest", declarations, rows)


def toolbox(schemas: pathlib.Path, out: pathlib.Path) -> None:
    served = [(o, "dt_op_" + o.get("handler", o["id"])) for o in api(schemas, out, "toolbox", "dt_tb")]
    handlers(out, "toolbox", [f"dt_toolbox_op {function};" for _, function in served],
             [f"[DT_TB_{o['id'].upper()}] = {function}" for o, function in served])


PLAIN = {"number": "number", "boolean": "boolean", "string": "string"}  # sent as bare text


class Document:
    """The OpenAPI 3.1 document of what is served."""

    def __init__(self, schemas: pathlib.Path):
        self.parts = {"rest": read(schemas / "rest"), "toolbox": read(schemas / "toolbox")}
        self.schemas = {}
        for part, files in self.parts.items():
            for name, schema in ((k, v) for f in files for k, v in f.get("objects", {}).items()):
                self.schemas[self.name(part, name)] = self.schema(part, schema)

    @staticmethod
    def name(part: str, name: str) -> str:
        return name if part == "rest" else "Toolbox" + name

    def ref(self, part: str, name: str) -> dict:
        return {"$ref": f"#/components/schemas/{self.name(part, name)}"}

    def schema(self, part: str, schema: dict) -> dict:
        """JSON Schema 2020-12 of one of ours; objects may have more members than it names."""
        if "$ref" in schema:
            return self.ref(part, schema["$ref"])
        out = {k: v for k, v in schema.items() if not k.startswith("x-")}
        if "properties" in out:
            out["properties"] = {k: self.schema(part, v) for k, v in out["properties"].items()}
            for key in schema.get("x-nullable", []):
                sub = out["properties"][key]
                out["properties"][key] = ({"anyOf": [sub, {"type": "null"}]} if "$ref" in sub
                                          else {**sub, "type": [sub.get("type", "object"), "null"]})
        for key in ("items", "additionalProperties"):
            if isinstance(out.get(key), dict):
                out[key] = self.schema(part, out[key])
        return out

    def query(self, part: str, name: str) -> list:
        objects = {k: v for f in self.parts[part] for k, v in f.get("objects", {}).items()}
        return [{"name": k, "in": "query", "required": k in objects[name].get("required", []), "schema": self.schema(part, v)}
                for k, v in objects[name]["properties"].items()]

    def content(self, part: str, reply) -> dict:
        if isinstance(reply, list):
            return {"application/json": {"schema": {"type": "array", "items": self.ref(part, reply[0])}}}
        if reply == "object":
            return {"application/json": {"schema": {"type": "object"}}}
        if reply == "text":
            return {"text/plain": {"schema": {"type": "string"}}}
        if reply in PLAIN:
            return {"text/html": {"schema": {"type": PLAIN[reply]}}}
        return {"application/json": {"schema": self.ref(part, reply)}}

    def operation(self, part: str, o: dict, path: str) -> dict:
        names = re.findall(r"{(\w+)}", path)
        parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for n in names]
        if o.get("auth", "member") in ("member", "owner") and "organizationId" not in names:
            parameters.append({"name": "X-Daytona-Organization-ID", "in": "header", "required": False, "schema": {"type": "string"},
                               "description": "The organization; API keys belong to one and need none."})
        parameters += self.query(part, o["query"]) if "query" in o else []
        answer = {"description": "It worked."}
        if "reply" in o:
            answer["content"] = self.content(part, o["reply"])
        error = "Error" if part == "rest" else "ToolboxError"
        out = {"operationId": o["id"] if part == "rest" else "toolbox_" + o["id"], "tags": [path.split("/")[1]],
               "description": f"For {who(o)}.", "parameters": parameters,
               "responses": {**{str(s): answer for s in (o.get("status", 200), *o.get("also", ()))}, **{k: {"$ref": f"#/components/responses/{error}"}
                                                                    for k in ("4XX", "5XX")}}}
        if o.get("auth") == "none":
            out["security"] = []
        if "body" in o:
            out["requestBody"] = {"required": True, "content": {"application/json": {"schema": self.ref(part, o["body"])}}}
        return out

    def paths(self) -> dict:
        paths = {}
        for o in operations_of(self.parts["rest"]):
            if "unserved" not in o and o["method"] != "ANY":
                paths.setdefault(o["path"], {})[o["method"].lower()] = self.operation("rest", o, o["path"])
        for o in operations_of(self.parts["toolbox"]):
            path = "/toolbox/{idOrName}/toolbox" + o["path"]
            if "unserved" not in o:
                paths.setdefault(path, {})[o["method"].lower()] = self.operation(
                    "toolbox", {**o, "scope": "write:sandboxes"}, path)
        return dict(sorted(paths.items()))

    def print(self) -> str:
        plain = {"text/plain": {"schema": {"type": "string"}}}  # what is no HTTP has no path to answer with
        error = {"description": "What went wrong.",
                 "content": {"application/json": {"schema": self.ref("rest", "Error")}, **plain}}
        inside = {"description": "What went wrong, here or in the sandbox.",
                  "content": {"application/json": {"schema": {"type": "object"}}, **plain}}
        return json.dumps({
            "openapi": "3.1.0",
            "info": {"title": "Daytona", "version": "1.0", "description": "Sandboxes for AI agents.",
                     "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/api"}],
            "security": [{"bearer": []}],
            "paths": self.paths(),
            "components": {
                "schemas": self.schemas, "responses": {"Error": error, "ToolboxError": inside},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer",
                                               "description": "An API key, or an access token of the OpenID issuer."}}},
        }, separators=(",", ":"))


def openapi(schemas: pathlib.Path, out: pathlib.Path) -> None:
    pair(out, "openapi", "/* The OpenAPI document of the REST API. */\nextern const char dt_openapi[];\n"
         "extern const size_t dt_openapi_size; /* without the closing NUL */\n",
         f"const char dt_openapi[] =\n    {long_quote(Document(schemas).print())};\n"
         "const size_t dt_openapi_size = sizeof(dt_openapi) - 1;")


def config(path: pathlib.Path, out: pathlib.Path) -> None:
    spec = json.loads(path.read_text())
    name = path.stem
    cname = f"dt_config_{name}"
    members, rows = [], []
    for s in spec["settings"]:
        member = s["env"].lower()
        ctype = {"integer": "int64_t ", "string": "const char *", "boolean": "bool "}[s["type"]]
        members.append(f"    {ctype}{member};")
        value = s.get("default")
        default = "NULL" if value is None else quote(
            str(value).lower() if s["type"] == "boolean" else str(value))
        rows.append(
            f"    {{{quote(s['env'])}, {quote(s['flag'])}, DT_SCHEMA_{C_TYPES[s['type']]}, "
            f"offsetof(struct {cname}, {member}), {default}, {int(s.get('minimum', -2**53))}, "
            f"{int(s.get('maximum', 2**53))}, {'true' if s.get('secret') else 'false'}, {quote(s['doc'])}}},")
    header = (
        '#include "json/config.h"\n\n'
        f"struct {cname} {{\n" + "\n".join(members) + "\n    struct dt_config_common common;\n};\n"
        f"/* Flags, then environment, then the YAML file of --config or DAYTONA_CONFIG, then defaults.\n"
        f" * *rest is the index of the first argument that is no option. */\n"
        f"int {cname}_load(int argc, char **argv, struct {cname} *out, int *rest, struct dt_err *err)\n"
        f"    DT_MUST_CHECK;\nvoid {cname}_done(struct {cname} *c);\n"
        f"/* The --help text; free() it. */\nchar *{cname}_help(void);\n"
        f"/* The table itself. */\nextern const struct dt_config_spec {cname}_spec;\n")
    source = (
        f"static const struct dt_config_setting settings[] = {{\n" + "\n".join(rows) + "\n};\n"
        f"const struct dt_config_spec {cname}_spec = {{{quote(spec['program'])}, {quote(spec.get('usage', ''))}, "
        f"settings, sizeof(settings) / sizeof(settings[0]), offsetof(struct {cname}, common), "
        f"sizeof(struct {cname})}};\n"
        f"int {cname}_load(int argc, char **argv, struct {cname} *out, int *rest, struct dt_err *err)\n"
        f"{{\n    return dt_config_load(&{cname}_spec, argc, argv, out, rest, err);\n}}\n"
        f"void {cname}_done(struct {cname} *c)\n{{\n    dt_config_done(&c->common);\n}}\n"
        f"char *{cname}_help(void)\n{{\n    return dt_config_help(&{cname}_spec);\n}}\n")
    pair(out, f"config_{name}", header, source)


WHO = {"none": "everybody", "user": "users", "member": "members", "owner": "owners", "admin": "administrators",
       "service": "services"}


def who(o: dict) -> str:
    words = [WHO[o.get("auth", "member")]] if o.get("auth") != "service" else []
    words += [f"the {s} service" for s in o.get("services", [])]
    words += ["administrators"] if o.get("or_admin") else []
    return ", ".join(words or ["nobody"]) + ("; with a login" if o.get("login") else "") + (
        f"; `{o['scope']}`" if "scope" in o else "")


def docs(schemas: pathlib.Path) -> str:
    """docs/rest-api.md"""
    rest = operations_of(read(schemas / "rest"))
    inside = operations_of(read(schemas / "toolbox"))
    by_path = {"key": lambda o: (o["path"], o["method"])}

    def table(head, rows):
        return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(r)} |" for r in rows)])

    served = [(o["method"], f"`{o['path']}`", who(o)) for o in sorted(rest, **by_path) if "unserved" not in o]
    tools = [(o["method"], f"`{o['path']}`") for o in sorted(inside, **by_path) if "unserved" not in o]
    later = [(o["method"], f"`{o['path']}`", o["unserved"]) for o in sorted(rest, **by_path) if "unserved" in o]
    later += [(o["method"], f"`/toolbox/{{idOrName}}/toolbox{o['path']}`", o["unserved"]) for o in sorted(inside, **by_path)
              if "unserved" in o]
    return "\n\n".join([
        "<!-- Made from schemas/ by `python3 schemas/gen/gen.py --docs schemas > docs/rest-api.md`. -->",
        "# The REST API",
        "All paths are below `/api`; a running server publishes its OpenAPI document at `/api-json`.",
        "## What is served", table(("method", "path", "who may call it"), served),
        "## In a sandbox",
        "Below `/api/toolbox/{idOrName}/toolbox`, and below `/toolbox/{id}` of the preview proxy:",
        table(("method", "path"), tools),
        "## What is not served yet", "These answer 501 with the reason.", table(("method", "path", "why"), later)]) + "\n"


def main() -> None:
    if sys.argv[1] == "--docs":
        sys.stdout.write(docs(pathlib.Path(sys.argv[2])))
        return
    schemas, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    (out / "errors.h").write_text(errors(schemas))
    (out / "permissions.h").write_text(permissions(schemas))
    mcp(schemas, out)
    rest(schemas, out)
    toolbox(schemas, out)
    if (schemas / "toolbox").exists():
        openapi(schemas, out)
    for path in sorted((schemas / "config").glob("*.json")):
        config(path, out)


if __name__ == "__main__":
    main()
