import { Type } from 'typebox';
import { Id, MODEL } from './common.js';

const Lines = {
  description:
    'A line for each item, in order of id: {"id","modality","metadata","vector"}, as "onespace import" reads.',
  content: { 'application/x-ndjson': { schema: Type.String() } },
};

export const exportSchema = {
  operationId: 'exportItems',
  tags: ['items'],
  summary: 'Every stored item with its vector, as JSON Lines',
  description: `The reply is a stream. It begins after the item "after", so that one which was cut off continues with the
id of its last whole line. Items that are added or deleted in the meantime may be included or not.`,
  querystring: Type.Object({ after: Type.Optional(Id), ...MODEL }, { additionalProperties: false }),
  response: { 200: Lines },
};
