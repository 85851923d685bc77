dt_fuzz(multipart toolbox)
dt_fuzz(git_porcelain toolbox)
dt_fuzz(git_guard toolbox)
