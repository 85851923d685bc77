dt_fuzz(http_request net)
dt_fuzz(http_response net)
dt_fuzz(http_text net)
dt_fuzz(http_server net)
dt_fuzz(ws net_ws)
dt_fuzz(ws_conn net_ws)
# These two look below the public headers.
target_include_directories(fuzz_http_request SYSTEM PRIVATE ${LLHTTP_INCLUDE_DIR})
target_include_directories(fuzz_http_response SYSTEM PRIVATE ${LLHTTP_INCLUDE_DIR})
