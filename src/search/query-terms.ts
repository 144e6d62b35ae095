import { Problem } from '../common/errors.js';
import { toUnitVector } from '../common/vector.js';
import { givenNames, type Inputs, type JsonInput } from '../inputs/json-input.js';
import { disposeParts, type InputPart } from '../inputs/part.js';
import type { OpenOptions } from '../inputs/url/media-url.js';

/** One thing to look near, and how much it counts; a negative weight looks away from it. */
export type Term = { weight: number } & ({ parts: InputPart[] } | { vector: Float32Array } | { id: string });

/** What JSON says to look near: exactly one of an input, a ready vector and a stored item's id. */
export interface JsonTerm extends JsonInput {
  embedding?: readonly number[] | undefined;
  id?: string | undefined;
}

/** A term, or several with weights. */
export interface JsonQuery extends JsonTerm {
  mix?: readonly (JsonTerm & { weight: number })[] | undefined;
}

export interface TermOptions extends OpenOptions {
  inputs: Inputs;
  /** Length of the model's vectors. */
  dim: number;
}

/**
 * The terms of a query; the caller owns their uploads.
 * @throws Problem `invalid_request` unless each says exactly one thing to look near
 */
export async function openTerms(query: JsonQuery, options: TermOptions): Promise<Term[]> {
  const { mix, ...single } = query;
  if (mix === undefined) return [await openTerm({ ...single, weight: 1 }, options, ', or a mix of them')];
  if (termNames(single).length > 0) {
    throw new Problem('invalid_request', `body.mix stands alone; ${termNames(single).join(' and ')} came beside it.`, {
      in: 'body',
      field: 'mix',
    });
  }
  const terms: Term[] = [];
  try {
    for (const [place, term] of mix.entries()) {
      terms.push(await openTerm(term, { ...options, field: `${options.field}.mix.${place}` }));
    }
    return terms;
  } catch (error) {
    await disposeTerms(terms);
    throw error;
  }
}

/** Gives back what the uploads of the terms hold. */
export async function disposeTerms(terms: readonly Term[]): Promise<void> {
  await Promise.all(terms.map((term) => ('parts' in term ? disposeParts(term.parts) : undefined)));
}

const termNames = (term: JsonTerm): string[] => [
  ...givenNames(term),
  ...(['embedding', 'id'] as const).filter((name) => term[name] !== undefined),
];

async function openTerm(
  { weight, embedding, id, ...input }: JsonTerm & { weight: number },
  { inputs, dim, ...options }: TermOptions,
  orElse = '',
): Promise<Term> {
  const { field } = options;
  const given = termNames({ embedding, id, ...input });
  if (given.length !== 1) {
    const came = given.length === 0 ? 'none came' : `${given.join(' and ')} came`;
    const detail = `Send one of text, image, video, parts, embedding and id in ${field}${orElse}; ${came}.`;
    throw new Problem('invalid_request', detail, { in: 'body', field: field.replace(/^body\.?/, '') });
  }
  if (embedding !== undefined) return { weight, vector: toUnitVector(embedding, dim) };
  if (id !== undefined) return { weight, id };
  return { weight, parts: await inputs.open(input, options) };
}
