dt_unit(tar oci)
dt_unit(oci oci)
