/** Numeric precision of a model: floats of 32 or 16 bits, or weights stored as integers of 8 or 4 bits. */
export const DTYPES = ['fp32', 'fp16', 'q8', 'q4'] as const;
export type Dtype = (typeof DTYPES)[number];
