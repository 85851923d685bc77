dt_fuzz(multipart toolbox)
dt_fuzz(pty_text toolbox)
dt_fuzz(glob toolbox)
dt_fuzz(grep toolbox)
