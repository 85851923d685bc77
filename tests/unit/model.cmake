dt_unit(model model)
dt_unit(history model)
dt_unit(span model)
dt_unit(runner_state model)
