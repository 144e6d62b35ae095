import { describe, expect, it } from 'vitest';
import { UrlHosts } from '../../src/inputs/url/allowed-hosts.js';
import { isPublicAddress } from '../../src/inputs/url/public-address.js';

describe('isPublicAddress', () => {
  it.each(['8.8.8.8', '93.184.216.34', '172.15.0.1', '2606:4700:4700::1111', '2a00:1450::1'])('%s is', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each([
    ...['127.0.0.1', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254', '100.64.0.1'],
    ...['0.0.0.0', '224.0.0.1', '255.255.255.255', '198.18.0.1'],
    ...['::1', '::', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8'],
    ...['64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:53aa::1', '2001:db8::1', 'not an address', ''],
  ])('%s is not', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

describe('UrlHosts', () => {
  const hosts = new UrlHosts('img.example.com, files.example.com:8443, *.example.org, 127.0.0.1:9000');
  const allows = (url: string) => hosts.allows(new URL(url));

  it.each([
    'https://img.example.com/a.png',
    'http://IMG.example.com:80/a',
    'https://files.example.com:8443/',
    'https://a.b.example.org/x',
    'http://127.0.0.1:9000/',
    'http://2130706433:9000/',
  ])('allows %s', (url) => {
    expect(allows(url)).toBe(true);
  });

  it.each([
    'https://example.com/',
    'https://img.example.com:8443/',
    'https://files.example.com/',
    'https://img.example.com.evil.net/',
    'https://evil.net/?img.example.com',
    'https://user@img.example.com/',
    'https://img.example.com@evil.net/',
    'https://example.org/',
    'https://evilexample.org/',
    'http://127.0.0.1/',
    'ftp://img.example.com/',
    'file:///etc/passwd',
  ])('does not allow %s', (url) => {
    expect(allows(url)).toBe(false);
  });
});
