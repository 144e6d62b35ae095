/**
 * Header of a request that another onespace sends on because its own model does not run. It goes no further: two
 * services that are each other's replica would hand it to and fro.
 */
export const HOP_HEADER = 'x-onespace-hop';
