import type { Modality } from '../common/modality.js';

/** The stages of a request, each timed where it runs. */
export type Stage = 'receive' | 'decode' | 'serialise' | 'queue' | 'inference' | 'replica' | 'search' | 'store';

/**
 * Reports the duration of one stage of one input, in seconds.
 * @param endedAgo seconds since the stage ended, where it is not reported at once; default: 0
 */
export type RecordStage = (stage: Stage, modality: Modality, seconds: number, endedAgo?: number) => void;
