// Names below localhost are this host's (RFC 6761), whatever its resolver knows of that.
import dns from 'node:dns';

const real = dns.lookup;
dns.lookup = (name, ...more) => real(name.endsWith('.localhost') ? 'localhost' : name, ...more);
