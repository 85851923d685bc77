dt_unit(db db)
