# daytona-launcher: its own unit tests, and real sandboxes (needs root and pytest).
add_executable(sandbox_guest ${CMAKE_CURRENT_SOURCE_DIR}/integration/guest.c)
target_compile_options(sandbox_guest PRIVATE -fno-sanitize=all)
target_link_options(sandbox_guest PRIVATE -fno-sanitize=all -static)
set_target_properties(sandbox_guest PROPERTIES POSITION_INDEPENDENT_CODE OFF)

foreach(script IN ITEMS integration/test_launcher.py integration/test_launcher_volumes.py
    integration/test_launcher_life.py integration/test_launcher_network.py)
  string(REGEX REPLACE "/test_(.*)\\.py" ".\\1" name ${script})
  add_test(NAME ${name}
    COMMAND ${Python3_EXECUTABLE} -m pytest -q -p no:cacheprovider ${CMAKE_SOURCE_DIR}/tests/${script})
  set_tests_properties(${name} PROPERTIES TIMEOUT 1800 LABELS integration ENVIRONMENT
    "DT_LAUNCHER=$<TARGET_FILE:daytona-launcher>;DT_GUEST=$<TARGET_FILE:sandbox_guest>;DT_PROBE=$<TARGET_FILE:probe>")
endforeach()
dt_unit(launcher_request launcher_parts)
dt_unit(launcher_record launcher_parts)
