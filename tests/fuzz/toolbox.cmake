dt_fuzz(multipart toolbox)
dt_fuzz(json_lines toolbox)
