/* Key sets and tokens: a line of JSON (a key set of the fuzzer's own), then a token. Without the
 * line the token is checked with a fixed set, whose keys a corpus of real tokens fits. */
#include <stdint.h>

#include "jose/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\","
                            "\"x\":\"HFut3R3ZlK4tILgdcYKSnMeZDbHGExgHZQCcYmny0yI\","
                            "\"y\":\"eLdnaWEmGw90QX_u1sgPElphc7UGM6h9zgAUVY5b6oU\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dt_jwt_rules rules = {
        .issuer = "https://issuer.example", .audience = "daytona", .now_s = 1761912000};
    struct dt_str rest = dt_str((const char *)data, size), line = dt_str_z(fixed);
    DT_AUTO(dt_jwks_free) struct dt_jwks *keys = NULL;
    DT_AUTO_JSON json_t *claims = NULL;
    struct dt_err err;
    if (size > 0 && memchr(data, '\n', size) != NULL)
        (void)dt_str_cut(&rest, '\n', &line);
    if (dt_jwks_parse(line, &keys, &err) < 0)
        return 0;
    (void)dt_jwt_shaped(rest);
    if (dt_jwt_check(keys, rest, &rules, &claims, &err) == 0 &&
        json_string_length(json_object_get(claims, "sub")) == 0)
        __builtin_trap();
    return 0;
}
