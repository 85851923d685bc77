dt_library(os_net SRC netlink.c rtnl.c nft.c nft_watch.c conntrack.c host_resolver.c sandbox_policy.c
  sandbox_rules.c sandbox_veth.c sandbox_net.c netns_socket.c LINK base PkgConfig::MNL)
