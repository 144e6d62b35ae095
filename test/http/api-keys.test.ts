import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { ApiKeys } from '../../src/http/plugins/auth.js';

const access = (env: Record<string, string>) => new ApiKeys(loadConfig(env));

describe('ApiKeys', () => {
  it('recognises each key and its permissions', () => {
    const keys = access({ API_KEYS: 'a-key-that-writes, a-key-that-only-reads:read' });
    expect(keys.areRequired).toBe(true);
    expect(keys.permissionOf('a-key-that-writes')).toBe('write');
    expect(keys.permissionOf('a-key-that-only-reads')).toBe('read');
    for (const wrong of ['', 'a-key-that-write', 'a-key-that-writes ', 'a-key-that-only-reads:read'])
      expect(keys.permissionOf(wrong)).toBeUndefined();
  });

  it.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1'])('allows anonymous callers on %s', (HOST) => {
    expect(access({ HOST }).areRequired).toBe(false);
  });

  it.each(['0.0.0.0', '::', '192.168.1.5', 'example.com', '127.0.0.1.example.com'])(
    'refuses to serve without keys on %s, and names both remedies',
    (HOST) => {
      expect(() => access({ HOST })).toThrow(/API_KEYS.*ALLOW_ANONYMOUS=true/);
      expect(access({ HOST, ALLOW_ANONYMOUS: 'true' }).areRequired).toBe(false);
      expect(access({ HOST, API_KEYS: 'sixteen-or-more-characters' }).areRequired).toBe(true);
    },
  );

  it('refuses keys that are easy to guess', () => {
    expect(() => access({ API_KEYS: 'secret' })).toThrow('at least 16');
  });
});
