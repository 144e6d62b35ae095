/** What a vector was made from. Every modality shares one space. */
export const MODALITIES = ['text', 'image', 'video'] as const;
export type Modality = (typeof MODALITIES)[number];
