/** An index is not damaged: this version is too old for it. */
export class NewerFormatError extends Error {
  /** @param what in the index this version does not know, as a clause */
  constructor(what: string) {
    super(
      `index: ${what}. Run the version that wrote it; to use this version, export the items there and import them here. The folder has been left as it is.`,
    );
  }
}
