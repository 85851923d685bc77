dt_library(os SRC filter.c seccomp.c landlock.c caps.c memfd.c cgroup.c cgroup_root.c devfilter.c disk.c disk_image.c
  disk_loop.c disk_project.c disk_whole.c disk_save.c disk_folder.c
  tree_save.c tree_load.c zfile.c LINK base PRIVATE PkgConfig::ZSTD)
