dt_fuzz(multipart toolbox)
dt_fuzz(pty_text toolbox)
