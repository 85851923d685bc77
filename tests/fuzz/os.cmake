dt_fuzz(tree os)
