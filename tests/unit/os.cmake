add_subdirectory(${CMAKE_CURRENT_SOURCE_DIR}/probe)

dt_unit(seccomp os)
target_link_libraries(test_seccomp PRIVATE util pthread)
dt_unit(memfd os)
dt_unit(cgroup os)
dt_unit(disk os)
