dt_fuzz(json json)
