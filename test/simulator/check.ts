import { isDeepStrictEqual } from 'node:util';
import { MODALITIES } from '../../src/common/modality.js';
import type { Engine } from '../../src/store/faiss/engine.js';
import { joinOriginal } from '../../src/store/originals/source-ref.js';
import type { Item } from '../../src/store/vector-store.js';
import type { Oracle } from '../store/oracle.js';
import type { Dice } from './dice.js';
import { FILTERS, vectorOf, type World } from './history.js';

/** The engine did what it must not do. */
export class Violation extends Error {}

export function demand(condition: boolean, violation: string): asserts condition {
  if (!condition) throw new Violation(violation);
}

/** An item as the engine returns it: with metadata and original as JSON text. */
interface Found {
  id: string;
  modality: string;
  metadata: string;
}

const toFound = ({ id, modality, metadata, original }: Item): Found => ({
  id,
  modality,
  metadata: joinOriginal(metadata, original),
});

/** Everything that the index holds, by id. */
export async function contentOf(engine: Engine): Promise<Found[]> {
  const items: Found[] = [];
  for (let after: string | undefined; ; ) {
    const page = await engine.list({ limit: 7, after });
    items.push(...page.items);
    if (page.next === undefined) return items;
    after = page.next;
  }
}

export const contentOfModel = (model: Oracle): Found[] => model.select().map(toFound);

/** Demands that list, get and count agree with the model. */
export async function demandEqual(engine: Engine, model: Oracle): Promise<void> {
  demand(
    isDeepStrictEqual(await contentOf(engine), contentOfModel(model)),
    'the index holds other items than the model',
  );
  demand(isDeepStrictEqual(engine.count(), model.counts()), 'the index counts other items than the model');
  for (const item of model.items.values()) {
    const { vector, ...found } = engine.get(item.id) ?? { vector: undefined };
    demand(isDeepStrictEqual(found, toFound(item)), `get("${item.id}") returns another item than the model`);
    demand(isDeepStrictEqual(vector, item.vector), `get("${item.id}") returns another vector than the model`);
  }
}

/** What is wrong with an answer, given that a model is right; undefined where nothing is. */
export type Verdict = (model: Oracle) => string | undefined;

/** One random search and one random filtered listing. @returns the verdicts on their answers */
export function ask(engine: Engine, world: World, dice: Dice): Promise<Verdict>[] {
  const filter = dice.pick(FILTERS);
  const only = dice.chance(0.3) ? { modality: dice.pick(MODALITIES) } : {};
  const options = { k: dice.pick([1, 3, 50]), filter, ...only };
  const vector = vectorOf(dice, world);
  const question = JSON.stringify(options);
  const search = async (): Promise<Verdict> => {
    const hits = await engine.search({ vector, ...options });
    return (model) => {
      const nearest = model.search(vector, options).map(({ id, score }) => {
        return { ...toFound(model.items.get(id) as Item), score };
      });
      return isDeepStrictEqual(hits, nearest) ? undefined : `search ${question} finds other items than the model`;
    };
  };
  const list = async (): Promise<Verdict> => {
    const { items } = await engine.list({ limit: 1000, filter, ...only });
    return (model) => {
      const listed = model.select(filter, only.modality).map(toFound);
      return isDeepStrictEqual(items, listed) ? undefined : `list ${question} finds other items than the model`;
    };
  };
  return [search(), list()];
}
