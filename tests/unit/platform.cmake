dt_unit(ip model)
