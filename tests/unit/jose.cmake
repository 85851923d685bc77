dt_unit(jwt jose PkgConfig::OPENSSL)
