dt_fuzz(multipart toolbox)
dt_fuzz(logtext toolbox)
