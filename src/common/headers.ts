/** HTTP headers of our own, in lower case as Node gives them. */

/** Of a reply: `name@revision` of the model that answered. */
export const MODEL_HEADER = 'x-onespace-model';

/** Of a search: during a rollout, equal keys are answered by the same model. */
export const ROLLOUT_KEY_HEADER = 'x-rollout-key';

/**
 * Loop guard: of a request that another onespace forwarded because its own model does not run. It is not forwarded
 * again, since two services that are each other's upstream would pass it back and forth.
 */
export const FORWARDED_HEADER = 'x-onespace-hop';
