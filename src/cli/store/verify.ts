import { Command } from 'commander';
import { readManifest, verifyFiles } from '../../backup/manifest.js';
import { formatBytes } from '../../lib/format-bytes.js';
import { ProgressBar } from '../progress-bar.js';

export const command = new Command('verify')
  .description('read every file of a backup and compare it with its checksum')
  .argument('<folder>', 'folder of the backup')
  .action(async (folder: string) => {
    const manifest = await readManifest(folder);
    if (manifest === undefined) throw new Error(`${folder} is no complete backup: it has no backup.json.`);
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const bar = new ProgressBar('verifying', bytes, formatBytes);
    const problems = await verifyFiles(folder, manifest, (read) => bar.advance(read));
    if (problems.length > 0) throw new Error(`The backup is damaged:\n  ${problems.join('\n  ')}`);
    console.log(`${manifest.files.length} files are whole, ${formatBytes(bytes)}, made ${manifest.created_at}`);
  });
