/** HTTP headers of our own, in lower case as Node gives them. */

/** Of a reply: name and revision of the model that answered. */
export const MODEL_HEADER = 'x-onespace-model';

/** Of a request: during a rollout, searches with the same key are answered by the same model. */
export const ROLLOUT_KEY_HEADER = 'x-rollout-key';

/**
 * Of a request that another onespace forwards because its own model does not run. A forwarded request is not forwarded
 * again: two services that are each other's upstream would send it back and forth.
 */
export const FORWARDED_HEADER = 'x-onespace-hop';
