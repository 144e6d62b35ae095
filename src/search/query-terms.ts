import { toUnitVector } from '../common/vector.js';
import { exactlyOne } from '../inputs/exactly-one.js';
import { INPUT_NAMES, type JsonInput, type JsonInputs } from '../inputs/json-input.js';
import type { InputPart } from '../inputs/part.js';
import type { OpenContext } from '../inputs/url/media-url.js';

/** One thing to search near, and its weight; a negative weight searches away from it. */
export type Term = { weight: number } & ({ parts: InputPart[] } | { vector: Float32Array } | { id: string });

/** A term in JSON: exactly one of an input, a ready vector and the id of a stored item. */
export interface JsonTerm extends JsonInput {
  embedding?: readonly number[] | undefined;
  id?: string | undefined;
}

/** A query in JSON: one term, or a mix of several with weights. */
export interface JsonQuery extends JsonTerm {
  mix?: readonly (JsonTerm & { weight: number })[] | undefined;
}

const TERM_NAMES = [...INPUT_NAMES, 'embedding', 'id'] as const;
const QUERY_NAMES = [...TERM_NAMES, 'mix'] as const;

/**
 * The terms of a query; their files belong to `context.uploads`.
 * @param dim length of the model's vectors
 * @throws Problem `invalid_request` unless the query, and each part of a mix, has exactly one thing to search near
 */
export async function openTerms(
  query: JsonQuery,
  inputs: JsonInputs,
  dim: number,
  context: OpenContext,
): Promise<Term[]> {
  const open = async (term: JsonTerm, weight: number, path: string): Promise<Term> => {
    if (term.embedding !== undefined) return { weight, vector: toUnitVector(term.embedding, dim) };
    if (term.id !== undefined) return { weight, id: term.id };
    return { weight, parts: await inputs.open(term, path, context) };
  };
  if (exactlyOne(query, QUERY_NAMES, 'body', 'mix') !== 'mix') return [await open(query, 1, 'body')];
  const terms: Term[] = [];
  for (const [i, term] of (query.mix ?? []).entries()) {
    const path = `body.mix.${i}`;
    exactlyOne(term, TERM_NAMES, path);
    terms.push(await open(term, term.weight, path));
  }
  return terms;
}
