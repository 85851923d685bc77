# The schema tests have a small API of their own, through the same generator.
set(SAMPLE_DIR ${CMAKE_BINARY_DIR}/generated_sample/sample)
add_custom_command(
  OUTPUT ${SAMPLE_DIR}/permissions.h ${SAMPLE_DIR}/rest_api.h ${SAMPLE_DIR}/rest_api.c ${SAMPLE_DIR}/config_sample.c ${SAMPLE_DIR}/config_sample.h
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/schemas/gen/gen.py ${CMAKE_CURRENT_SOURCE_DIR}/data/schemas ${SAMPLE_DIR}
  DEPENDS ${CMAKE_SOURCE_DIR}/schemas/gen/gen.py ${CMAKE_CURRENT_SOURCE_DIR}/data/schemas/rest/sample.json ${CMAKE_CURRENT_SOURCE_DIR}/data/schemas/permissions.json
    ${CMAKE_CURRENT_SOURCE_DIR}/data/schemas/config/sample.json)
add_library(sample STATIC ${SAMPLE_DIR}/rest_api.c ${SAMPLE_DIR}/config_sample.c)
target_include_directories(sample PUBLIC ${CMAKE_BINARY_DIR}/generated_sample)
target_link_libraries(sample PUBLIC json config)
dt_unit(schema sample)
dt_unit(config sample)
dt_unit(json json)
dt_unit(route json)
dt_unit(base base)
dt_unit(fdpass base)
