import fc from 'fast-check';

/** The part of JSON Schema that the OpenAPI document uses. */
export interface Schema {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  minProperties?: number;
  maxProperties?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}

/** Short values suffice to be unusual. */
const MAX_GENERATED_ITEMS = 4;
const MAX_GENERATED_CHARACTERS = 40;
/** About one value in this many is invalid, so that most requests pass the first check. */
const ONE_MISTAKE_IN = 12;

const PIXEL = 'data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=';
const URLS = [PIXEL, PIXEL, 'data:;base64,AAAA', 'data:,a', 'https://example.com/a.png', 'data:image/png;base64,%%'];
const ODD_STRINGS = ['', ' ', '\u0000', '\ud800', '__proto__', '../../etc/passwd', '🦊', 'null', '%00', '{"$gt":1}'];

/** Generates values of a schema, some of them invalid somewhere. */
export class Arbitraries {
  constructor(private readonly components: Record<string, Schema>) {}

  /** Mostly a value of the schema, sometimes another one. */
  value(schema: Schema): fc.Arbitrary<unknown> {
    return fc.oneof(
      { weight: ONE_MISTAKE_IN, arbitrary: this.valid(schema) },
      { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3, noUnicodeString: false }) },
      { weight: 1, arbitrary: fc.constantFrom(...ODD_STRINGS, null, -1, 1e308, 0.5, 2 ** 53, [], {}, true) },
    );
  }

  private valid(schema: Schema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return this.valid(this.resolve(schema.$ref));
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => this.value(one)));
    switch (schema.type) {
      case 'object':
        return this.object(schema);
      case 'array':
        return this.array(schema);
      case 'integer':
        return fc.integer({ min: schema.minimum ?? -1000, max: schema.maximum ?? 1000 });
      case 'number':
        return fc.double({ min: schema.minimum ?? -10, max: schema.maximum ?? 10, noNaN: true });
      case 'boolean':
        return fc.boolean();
      default:
        return this.string(schema);
    }
  }

  private resolve(ref: string): Schema {
    const schema = this.components[ref.split('/').at(-1) ?? ''];
    if (schema === undefined) throw new Error(`${ref} is not in the document`);
    return schema;
  }

  private object({ properties = {}, required = [], minProperties, maxProperties, ...rest }: Schema) {
    const all = Object.entries(properties).map(([name, schema]) => [name, this.value(schema)] as const);
    if (maxProperties === 1 && minProperties === 1) {
      return fc.oneof(...all.map(([name, value]) => value.map((one) => ({ [name]: one }))));
    }
    const known = fc.record(Object.fromEntries(all), { requiredKeys: required as never });
    const chosen = fc.subarray(Object.keys(properties), { maxLength: Math.min(3, all.length) });
    // Only a few of many optional fields: with all of them, most requests would contradict themselves.
    const few = fc.tuple(known, chosen).map(([value, names]) => {
      const kept = new Set([...names, ...required]);
      return Object.fromEntries(Object.entries(value).filter(([name]) => kept.has(name)));
    });
    const extra = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 2 });
    if (rest.additionalProperties === true) return fc.tuple(few, extra).map(([a, b]) => ({ ...b, ...a }));
    return fc.oneof(
      { weight: ONE_MISTAKE_IN, arbitrary: few },
      { weight: 1, arbitrary: fc.tuple(few, extra).map(([a, b]) => ({ ...b, ...a })) },
    );
  }

  private array({ items = {}, minItems = 0, maxItems = MAX_GENERATED_ITEMS }: Schema) {
    const isVector = items.type === 'number';
    const lengths = isVector ? { minLength: 256, maxLength: 256 } : undefined;
    const usual = { minLength: minItems, maxLength: Math.min(maxItems, MAX_GENERATED_ITEMS) };
    const values = fc.array(this.value(items), usual);
    return lengths === undefined ? values : fc.oneof(fc.array(this.valid(items), lengths), values);
  }

  private string({ pattern, minLength = 0, maxLength = MAX_GENERATED_CHARACTERS }: Schema) {
    if (pattern?.includes('[Dd][Aa][Tt][Aa]')) return fc.constantFrom(...URLS);
    const most = Math.min(maxLength, MAX_GENERATED_CHARACTERS);
    const lengths = { minLength: Math.min(minLength, most), maxLength: most };
    return fc.oneof(fc.string({ ...lengths, unit: 'binary' }), fc.constantFrom('a red car', 'item-1', 'un chat'));
  }
}
