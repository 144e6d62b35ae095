/** The bounds of an index. Everything that can grow has one. */
export const LIMITS = {
  dim: 4096,
  idBytes: 512,
  metadataBytes: 64 * 1024,
  itemsPerUpsert: 1000,
  idsPerDelete: 10_000,
  k: 1000,
  pageItems: 1000,
  /** Items one `list` call looks at before it returns a short page with a cursor. */
  pageScan: 100_000,
  /** Metadata fields kept in memory for filters. */
  columns: 64,
  /** Different values of such a field; a code of 16 bits tells them apart. */
  columnValues: 65_535,
  /** A field with a longer string than this is not kept. */
  columnCharacters: 64,
  /** Filters whose matching rows a shard remembers. */
  filtersKept: 64,
  /** A JavaScript Map holds 2^24 keys. */
  items: 16_000_000,
  filterDepth: 8,
  filterClauses: 128,
  filterValues: 1000,
  /** One group commit; the journal refuses to read back more. */
  frameBytes: 64 * 1024 * 1024,
  /** Writes handed over but not yet acknowledged. */
  pendingWriteBytes: 256 * 1024 * 1024,
  pendingCalls: 10_000,
  queriesPerBatch: 64,
} as const;
