dt_unit(tar oci)
