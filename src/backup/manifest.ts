import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { errorCode, writeFileAtomically } from '../lib/fs.js';
import type { BackupFile } from '../store/vector-store.js';

/** Written last: a folder without it is no backup. */
export const BACKUP_MANIFEST = 'backup.json';
const FORMAT = 1;

const Manifest = Type.Object({
  format: Type.Literal(FORMAT),
  created_at: Type.String(),
  /** Paths within the backup; kept files have no checksum, because their name is their SHA-256. */
  files: Type.Array(Type.Object({ file: Type.String(), bytes: Type.Integer(), crc32: Type.Optional(Type.Integer()) })),
});
export type BackupManifest = Static<typeof Manifest>;

export async function writeManifest(folder: string, files: BackupFile[], createdAt: Date): Promise<void> {
  const manifest: BackupManifest = { format: FORMAT, created_at: createdAt.toISOString(), files };
  await writeFileAtomically(path.join(folder, BACKUP_MANIFEST), `${JSON.stringify(manifest)}\n`);
}

/** @returns undefined for a folder that is no complete backup @throws Error for a manifest that cannot be read */
export async function readManifest(folder: string): Promise<BackupManifest | undefined> {
  const file = path.join(folder, BACKUP_MANIFEST);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const manifest: unknown = parse(text);
  if (Value.Check(Manifest, manifest)) return manifest;
  const { format } = (manifest ?? {}) as { format?: unknown };
  throw new Error(
    typeof format === 'number' && format > FORMAT
      ? `${file} has format ${format}, and this version reads format ${FORMAT}. Use the version that made the backup.`
      : `${file} is damaged.`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Reads every file of a backup.
 * @param onFile called after each
 * @returns what is wrong, a line for each file; nothing when the backup is whole
 */
export async function verifyFiles(
  folder: string,
  { files }: BackupManifest,
  onFile: (bytes: number) => void = () => {},
): Promise<string[]> {
  const problems: string[] = [];
  for (const file of files) {
    const problem = await verifyFile(folder, file);
    if (problem !== undefined) problems.push(`${file.file}: ${problem}`);
    onFile(file.bytes);
  }
  return problems;
}

async function verifyFile(folder: string, { file, bytes, crc32: expected }: BackupManifest['files'][number]) {
  const sha256 = createHash('sha256');
  let checksum = 0;
  let size = 0;
  try {
    for await (const chunk of createReadStream(path.join(folder, file)) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (expected === undefined) sha256.update(chunk);
      else checksum = crc32(chunk, checksum);
    }
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? 'is missing' : `cannot be read (${errorCode(error)})`;
  }
  if (size !== bytes) return `has ${size} bytes instead of ${bytes}`;
  const isWhole = expected === undefined ? sha256.digest('hex') === path.basename(file) : checksum === expected;
  return isWhole ? undefined : 'has another content than was written';
}
