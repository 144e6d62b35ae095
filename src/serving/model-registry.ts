import { Problem } from '../common/errors.js';
import type { Config } from '../config.js';
import { listOf } from '../http/api-keys.js';
import type { ServedModel } from './served-model.js';

/** The names or folders of the models to serve; the first is the default. */
export function modelSources({ MODEL, MODELS }: Pick<Config, 'MODEL' | 'MODELS'>): [string, ...string[]] {
  const [first = MODEL, ...others] = listOf(MODELS);
  return [first, ...others];
}

/** The models that are served; one of them answers whoever names none. */
export class Models {
  private readonly served = new Map<string, ServedModel>();

  /** @param first the default */
  constructor(
    private first: ServedModel,
    ...others: readonly ServedModel[]
  ) {
    for (const model of [first, ...others]) this.add(model);
  }

  get default(): ServedModel {
    return this.first;
  }

  set default(model: ServedModel) {
    this.first = model;
  }

  /** All of them, the default first. */
  get all(): readonly ServedModel[] {
    return [this.first, ...[...this.served.values()].filter((model) => model !== this.first)];
  }

  add(model: ServedModel): void {
    this.served.set(model.id, model);
  }

  remove(model: ServedModel): void {
    this.served.delete(model.id);
  }

  /**
   * The model of a name, or of a name and a revision (`name@revision`); the default for none. A name alone means
   * the default where two revisions of it are served.
   */
  find(name: string): ServedModel | undefined {
    return this.served.get(name) ?? this.all.find(({ manifest }) => manifest.name === name);
  }

  /** @throws Problem `model_not_found` that lists what there is */
  get(name: string | undefined): ServedModel {
    if (name === undefined) return this.first;
    const found = this.find(name);
    if (found !== undefined) return found;
    const names = this.all.map((model) => this.nameOf(model));
    const list = names.map((one) => `"${one}"`).join(', ');
    const detail = `There is no model "${name}" here; this service has ${list}.`;
    throw new Problem('model_not_found', detail, { field: 'model', models: names });
  }

  /** How requests choose a model: its name, where that does not mean another revision. */
  nameOf(model: ServedModel): string {
    return this.find(model.manifest.name) === model ? model.manifest.name : model.id;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((model) => model.close()));
  }
}
