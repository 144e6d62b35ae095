import { invalidField } from '../common/errors.js';

/**
 * The only one of `names` that `value` has.
 * @param path of `value` in the request, for the error: `body`, `body.mix.0`
 * @param exclusive the name that the error points to when it is given with another
 * @throws Problem `invalid_request` when it has none of them, or several
 */
export function exactlyOne<Name extends string>(
  value: { readonly [name in Name]?: unknown },
  names: readonly Name[],
  path: string,
  exclusive?: Name,
): Name {
  const given = names.filter((name) => value[name] !== undefined);
  const [only] = given;
  if (only !== undefined && given.length === 1) return only;
  const received = given.length === 0 ? 'none of them' : given.join(' and ');
  const detail = `${path} must have exactly one of ${names.join(', ')}; received ${received}.`;
  throw invalidField(exclusive !== undefined && given.includes(exclusive) ? `${path}.${exclusive}` : path, detail);
}
