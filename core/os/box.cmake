dt_library(os_box SRC userns.c overlay.c overlay_check.c rootfs.c box.c LINK base os)
