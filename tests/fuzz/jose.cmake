dt_fuzz(jwt jose)
