/** What a vector was made from. Every modality shares one space. */
export const MODALITIES = ['text', 'image', 'video'] as const;
export type Modality = (typeof MODALITIES)[number];

/** A record with one value per modality. */
export function forEachModality<T>(make: (modality: Modality) => T): Record<Modality, T> {
  return Object.fromEntries(MODALITIES.map((modality) => [modality, make(modality)])) as Record<Modality, T>;
}
