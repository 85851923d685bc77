dt_unit(tar oci)
dt_unit(jail oci)
dt_unit(oci oci)
