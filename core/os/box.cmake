dt_library(os_box SRC userns.c overlay.c rootfs.c box.c LINK base os)
