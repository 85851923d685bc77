dt_unit(model model)
