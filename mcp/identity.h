/* Who we say we are. */
#ifndef DT_IDENTITY_H
#define DT_IDENTITY_H

#define DT_IDENTITY_INFO                                                                           \
    "{\"name\":\"daytona\",\"title\":\"Daytona sandboxes\",\"version\":\"" DT_VERSION "\"}"

/* What every result of the modern revision begins with. */
#define DT_IDENTITY_RESULT                                                                         \
    "\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/"                            \
    "serverInfo\":" DT_IDENTITY_INFO "}"

/* At most 4,000 characters; models read it before anything else. */
extern const char dt_identity_instructions[];

#endif
