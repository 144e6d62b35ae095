/** What of a file is kept in the metadata of an item: where it lies, and what tells whether it has changed since. */
export interface FileMark {
  /** `root/path/within`. */
  path: string;
  bytes: number;
  /** When it was last changed: ISO 8601, in whole milliseconds. */
  modified_at: string;
}

/** @param file its times in milliseconds since 1970 */
export const markOf = (file: { path: string; bytes: number; modifiedMs: number }): FileMark => ({
  path: file.path,
  bytes: file.bytes,
  modified_at: new Date(Math.floor(file.modifiedMs)).toISOString(),
});
