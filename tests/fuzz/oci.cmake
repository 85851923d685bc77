dt_fuzz(tar oci)
dt_fuzz(manifest oci)
dt_fuzz(decompress oci)
