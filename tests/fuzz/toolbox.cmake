dt_fuzz(multipart toolbox)
dt_fuzz(lsp_frame toolbox)
