import { Type } from 'typebox';

const percent = (description: string) => Type.Number({ minimum: 0, maximum: 100, description });
const TRAFFIC = percent('Percent of searches that the candidate answers.');
const SHADOW = percent('Percent of the other searches that it repeats after the reply, for comparison.');

export const StartBody = Type.Object(
  {
    model: Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'A served model, one under models/, or the path of its folder.',
    }),
    share_percent: Type.With(TRAFFIC, { default: 0 }),
    shadow_percent: Type.With(SHADOW, { default: 100 }),
  },
  { additionalProperties: false, title: 'RolloutStart' },
);
export const TrafficBody = Type.Object(
  { share_percent: Type.Optional(TRAFFIC), shadow_percent: Type.Optional(SHADOW) },
  { additionalProperties: false, minProperties: 1, title: 'RolloutShares' },
);
export const ForceQuery = Type.Object(
  { force: Type.Boolean({ default: false, description: 'Also when its index is known to be incomplete.' }) },
  { additionalProperties: false },
);

const MODEL_STATUS = { id: Type.String(), items: Type.Optional(Type.Integer({ description: 'Items in its index.' })) };
const SecondModel = Type.Object(
  { ...MODEL_STATUS, loaded: Type.Boolean({ description: 'False when it could not be loaded at the start.' }) },
  { title: 'RolloutModel' },
);
const Latency = Type.Union([Type.Object({ p50: Type.Number(), p95: Type.Number() }), Type.Null()]);

export const RolloutStatus = Type.Object(
  {
    phase: Type.Enum(['none', 'candidate', 'promoted'], {
      description: 'candidate: one is being tried; promoted: it answers, and the previous model is kept in sync.',
    }),
    default: Type.Object(MODEL_STATUS),
    candidate: Type.Optional(SecondModel),
    previous: Type.Optional(SecondModel),
    share_percent: Type.Number(),
    shadow_percent: Type.Number(),
    since: Type.Optional(Type.String()),
    missed: Type.Object(
      { count: Type.Integer(), ids: Type.Array(Type.String(), { description: 'Some of them.' }) },
      { description: 'Items in which the second index is known to be out of sync.' },
    ),
    comparisons: Type.Object(
      {
        count: Type.Integer(),
        overlap_at_10: Type.Union([Type.Number(), Type.Null()], {
          description: 'Fraction of the first 10 results of the default model that the candidate also returns.',
        }),
        default_ms: Latency,
        candidate_ms: Latency,
      },
      { description: 'The latest 1000 searches that both models answered.' },
    ),
  },
  { title: 'Rollout', description: 'The state of the replacement of one model by another.' },
);
