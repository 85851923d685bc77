dt_fuzz(multipart toolbox)
