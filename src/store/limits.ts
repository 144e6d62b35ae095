/** The bounds of an index. Everything that can grow has one. */
export const LIMITS = {
  dim: 4096,
  metadataBytes: 64 * 1024,
  /** Levels of metadata, and of any other JSON of no fixed shape: clients, too, read it recursively. */
  jsonDepth: 64,
  itemsPerUpsert: 1000,
  idsPerDelete: 10_000,
  k: 1000,
  pageItems: 1000,
  /** Items that one `list` call examines before it returns a short page with a cursor. */
  pageScan: 100_000,
  /** Metadata fields in the payload index. */
  columns: 64,
  /** Different values of such a field; each has a code of 16 bits. */
  columnValues: 65_535,
  /** A field with a longer string than this is not indexed. */
  columnCharacters: 64,
  /** Filters whose bitmaps a segment caches. */
  filtersKept: 64,
  /** A JavaScript Map holds 2^24 keys. */
  items: 16_000_000,
  filterDepth: 8,
  filterClauses: 128,
  filterValues: 1000,
  /** One group commit, which is one frame of the write-ahead log. */
  frameBytes: 64 * 1024 * 1024,
  /** Bytes of writes that are not yet acknowledged. */
  pendingWriteBytes: 256 * 1024 * 1024,
  pendingCalls: 10_000,
  queriesPerBatch: 64,
} as const;
