# What ./dev bench runs beside our programs.
add_executable(spawn_bench perf/spawn_bench.c)
target_link_libraries(spawn_bench PRIVATE base)
if(NOT DT_SANITIZE)
  add_executable(perf_httpd perf/httpd.c)
  target_link_options(perf_httpd PRIVATE -static)
  set_target_properties(perf_httpd PROPERTIES POSITION_INDEPENDENT_CODE OFF)
endif()
