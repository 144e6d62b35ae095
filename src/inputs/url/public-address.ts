import { BlockList, isIPv4 } from 'node:net';

/** IPv4 that is not on the public internet. Source: IANA's IPv4 Special-Purpose Address Registry. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
  '192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
].flatMap((line) => line.split(' '));
/** IPv6 ranges within global unicast that are not public hosts: Teredo, documentation, 6to4. */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const special = new BlockList();
const globalUnicast = new BlockList();
for (const subnet of SPECIAL_IPV4) addSubnet(special, subnet, 'ipv4');
for (const subnet of SPECIAL_IPV6) addSubnet(special, subnet, 'ipv6');
addSubnet(globalUnicast, '2000::/3', 'ipv6');

function addSubnet(list: BlockList, subnet: string, family: 'ipv4' | 'ipv6'): void {
  const [network = '', prefix] = subnet.split('/');
  list.addSubnet(network, Number(prefix), family);
}

/** Whether an IP address belongs to the public internet, and not to this machine or a private network. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.check(address, 'ipv4');
  return globalUnicast.check(address, 'ipv6') && !special.check(address, 'ipv6');
}
