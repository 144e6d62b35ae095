import type { Modality } from '../common/modality.js';

/** The stages of a request, each timed where it runs. */
export type Stage = 'receive' | 'decode' | 'serialise' | 'queue' | 'inference' | 'replica' | 'search' | 'store';

/** Reports the duration of one stage of one input, in seconds. */
export type RecordStage = (stage: Stage, modality: Modality, seconds: number) => void;
