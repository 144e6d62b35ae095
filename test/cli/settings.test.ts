import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { settingsTable, withSettingsTable } from '../../src/cli/settings-table.js';
import { Settings } from '../../src/config.js';

describe('the table of settings', () => {
  it('has a row for each, with its default', () => {
    const rows = settingsTable().split('\n').slice(2);
    expect(rows.map((row) => /`(\w+)`/.exec(row)?.[1])).toEqual(Object.keys(Settings.properties));
    expect(rows).toContainEqual('| `HOST` | `127.0.0.1` | Address to listen on; 0.0.0.0 for all interfaces. |');
    for (const row of rows)
      expect(row, 'three cells, none of them empty').toMatch(/^\| \S[^|]* \| \S[^|]* \| \S[^|]* \|$/);
  });

  it('goes between the markers and leaves the rest alone', () => {
    const before = '# A\n<!-- settings -->\nold\n<!-- /settings -->\nb\n';
    expect(withSettingsTable(before)).toBe(`# A\n<!-- settings -->\n${settingsTable()}\n<!-- /settings -->\nb\n`);
    expect(() => withSettingsTable('# A')).toThrow('<!-- settings -->');
  });

  // To bring the page up to date: npm run settings
  it('is the one in docs/configuration.md', async () => {
    const page = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    expect(withSettingsTable(page)).toBe(page);
  });
});
