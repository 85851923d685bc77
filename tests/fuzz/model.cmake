dt_fuzz(cidr model)
dt_fuzz(host model)
