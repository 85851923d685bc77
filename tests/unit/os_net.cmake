dt_unit(sandbox_net os_net)
