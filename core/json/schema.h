/*
 * The run-time half of the generated parsers: tables that schemas/gen/gen.py writes, and the code
 * that walks them. A subset of JSON Schema 2020-12: type, properties, required, items,
 * additionalProperties as a schema, enum, minimum, maximum, minLength, maxLength, minItems,
 * maxItems, maxProperties, default.
 */
#ifndef DT_SCHEMA_H
#define DT_SCHEMA_H

#include "json/json.h"

enum dt_schema_type {
    DT_SCHEMA_STRING,
    DT_SCHEMA_INTEGER,
    DT_SCHEMA_NUMBER,
    DT_SCHEMA_BOOLEAN,
    DT_SCHEMA_OBJECT,
    DT_SCHEMA_ARRAY,
};

struct dt_schema_field;

struct dt_schema_node {
    enum dt_schema_type type;
    bool has_minimum, has_maximum;
    double minimum, maximum;
    size_t min_length, max_length;       /* 0 = none */
    size_t min_items;                    /* of an array */
    size_t max_items;                    /* of an array or object; 0 = none */
    const char *const *enums;            /* ended by NULL; NULL = any */
    const struct dt_schema_node *values; /* of an array's items or an object's other members */
    const struct dt_schema_field *fields;
    size_t nfields;
};

struct dt_schema_field {
    const char *name;
    const char *const *aliases; /* ended by NULL; may be NULL */
    const struct dt_schema_node *node;
    bool required;
    bool nullable; /* printed as null when absent */
    bool bytes;    /* stored as struct dt_str: may hold NUL */
    bool secret;   /* dt_schema_shown() hides its value */
    size_t offset;
    size_t has_offset; /* integers, numbers, booleans */
    const char *default_text;
    double default_number;
};

/* A struct whose first member is `json_t *json_owner`. */
struct dt_schema_object {
    const struct dt_schema_field *fields;
    size_t nfields;
    size_t size;
};

/* Checks `in` (borrowed; a reference is kept in json_owner) and fills `out`, whose texts and trees
 * point into it. INVALID names every violation. On failure nothing is kept. NULL or JSON null count
 * as
 * {}. */
int dt_schema_parse(const struct dt_schema_object *o, json_t *in, void *out,
                    struct dt_err *err) DT_MUST_CHECK;
/* The same from `a=1&b=two`; repeated keys become arrays. */
int dt_schema_parse_query(const struct dt_schema_object *o, struct dt_str query, void *out,
                          struct dt_err *err) DT_MUST_CHECK;
void dt_schema_done(const struct dt_schema_object *o, void *x);
/* What may be shown of an unchecked `in`: a new object of the members that the schema knows, with
 * stars in place of secrets (of the values in a secret object). NULL without memory. */
json_t *dt_schema_shown(const struct dt_schema_object *o, const json_t *in);
/* The same of a query. */
json_t *dt_schema_shown_query(const struct dt_schema_object *o, struct dt_str query);
/* A new tree; NULL only without memory. Absent members are left out unless required or nullable. */
json_t *dt_schema_print(const struct dt_schema_object *o, const void *x);

#endif
