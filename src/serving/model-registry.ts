import { Problem } from '../common/errors.js';
import { type Config, listOf } from '../config.js';
import { putItems } from '../items/put-items.js';
import type { Router } from './router.js';
import type { ServedModel } from './served-model.js';

/** The names or folders of the models to serve; the first is the default. */
export function modelSources({ MODEL, MODELS }: Pick<Config, 'MODEL' | 'MODELS'>): [string, ...string[]] {
  const [first = MODEL, ...others] = listOf(MODELS);
  return [first, ...others];
}

/** The models that are served. One of them is the default: it answers requests that name none. */
export class ModelRegistry {
  /** Sends requests to models; a rollout replaces it while it lasts. */
  router: Router = directRouter;
  default: ServedModel;
  private readonly served = new Map<string, ServedModel>();
  /** Requests and tasks that use a model, where there are any. */
  private readonly leases = new Map<ServedModel, number>();
  /** Called when the last lease of a model ends. */
  private readonly onIdle = new Map<ServedModel, () => void>();

  constructor(first: ServedModel, ...others: readonly ServedModel[]) {
    this.default = first;
    for (const model of [first, ...others]) this.add(model);
  }

  /** All of them, the default first. */
  get all(): readonly ServedModel[] {
    return [this.default, ...[...this.served.values()].filter((model) => model !== this.default)];
  }

  add(model: ServedModel): void {
    this.served.set(model.id, model);
  }

  /** Stops serving a model, and closes it when its last lease has ended. */
  async retire(model: ServedModel): Promise<void> {
    this.served.delete(model.id);
    await this.closeWhenIdle(model);
  }

  /** Keeps a model open until the returned function is called. */
  lease(model: ServedModel): () => void {
    this.leases.set(model, (this.leases.get(model) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.leases.get(model) ?? 0) - 1;
      if (left > 0) this.leases.set(model, left);
      else {
        this.leases.delete(model);
        this.onIdle.get(model)?.();
      }
    };
  }

  /** The model of a name, or of `name@revision`. Of two revisions, the name alone means the default. */
  find(name: string): ServedModel | undefined {
    return this.served.get(name) ?? this.all.find(({ manifest }) => manifest.name === name);
  }

  /** The model of a name; the default when there is no name. @throws Problem `model_not_found` that lists all models */
  get(name: string | undefined): ServedModel {
    if (name === undefined) return this.default;
    const found = this.find(name);
    if (found !== undefined) return found;
    const names = this.all.map((model) => this.nameOf(model));
    const list = names.map((one) => `"${one}"`).join(', ');
    const detail = `There is no model "${name}"; this service has ${list}.`;
    throw new Problem('model_not_found', detail, { field: 'model', models: names });
  }

  /** The shortest name that selects a model: without its revision, unless that means another one. */
  nameOf(model: ServedModel): string {
    return this.find(model.manifest.name) === model ? model.manifest.name : model.id;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((model) => this.closeWhenIdle(model)));
  }

  private async closeWhenIdle(model: ServedModel): Promise<void> {
    if (this.leases.has(model)) await new Promise<void>((resolve) => this.onIdle.set(model, resolve));
    await model.close();
  }
}

/** Every request goes to the model that it chose. A rollout replaces this router while it lasts. */
export const directRouter: Router = {
  search: async (request, { model }, context) => ({ results: await model.search.search(request, context), model }),
  put: (model, items, options, context) => putItems(model, items, options, context),
  delete: (model, ids) => model.store.delete(ids),
  deleteWhere: (model, filter) => model.store.deleteWhere(filter),
};
