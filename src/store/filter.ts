import { Problem } from '../common/errors.js';
import { LIMITS } from './limits.js';
import type { Filter, Metadata } from './vector-store.js';

/** Whether an item with this metadata matches. */
export type Predicate = (metadata: Metadata) => boolean;

type Scalar = string | number | boolean | null;

/** The condition of a filter on the value of one field, which is `MISSING` where there is none. */
export type Test = (value: unknown) => boolean;

/** Applies a condition to one field of a subject: of metadata, or of a row whose fields are in columns. */
type BindField<Subject> = (field: string, test: Test) => (subject: Subject) => boolean;

/** The value of a field that does not exist. */
export const MISSING = Symbol('missing');

/**
 * Compiles a metadata filter (the language is described at `Filter` in vector-store.ts).
 *
 * A field is a top-level name, or a dotted path into nested objects (`exif.make`) where no
 * top-level field has that name. A missing field equals nothing, so `$ne` and `$nin` accept it.
 * Order (`$gt` ...) is defined between two numbers or two strings; anything else does not match.
 *
 * @throws Problem `invalid_request`, whose `field` names the wrong clause
 */
export function compileFilter(filter: Filter): Predicate {
  return compileTree<Metadata>(filter, (field, test) => {
    const read = reader(field);
    return (metadata) => test(read(metadata));
  });
}

/** The same for any kind of subject. @throws Problem as `compileFilter` does */
export function compileTree<Subject>(filter: Filter, bindField: BindField<Subject>): (subject: Subject) => boolean {
  return compileObject(filter, 'filter', 0, { bindField, clauses: LIMITS.filterClauses });
}

/** State that all parts of a filter share while it is compiled. */
interface Compiling<Subject> {
  bindField: BindField<Subject>;
  /** How many more clauses there may be. */
  clauses: number;
}

function compileObject<Subject>(
  filter: unknown,
  path: string,
  depth: number,
  compiling: Compiling<Subject>,
): (subject: Subject) => boolean {
  if (!isObject(filter)) throw wrong(path, 'must be an object');
  if (depth > LIMITS.filterDepth) throw wrong(path, `nests deeper than ${LIMITS.filterDepth} levels`);
  const clauses = Object.entries(filter).map(([key, value]) =>
    compileClause(key, value, `${path}.${key}`, depth, compiling),
  );
  const [only] = clauses;
  if (only !== undefined && clauses.length === 1) return only;
  return (subject) => clauses.every((matches) => matches(subject));
}

function compileClause<Subject>(
  key: string,
  value: unknown,
  path: string,
  depth: number,
  compiling: Compiling<Subject>,
): (subject: Subject) => boolean {
  compiling.clauses -= 1;
  if (compiling.clauses < 0) throw wrong(path, `is one clause too many: at most ${LIMITS.filterClauses}`);
  switch (key) {
    case '$and': {
      const all = compileList(value, path, depth, compiling);
      return (subject) => all.every((matches) => matches(subject));
    }
    case '$or': {
      const any = compileList(value, path, depth, compiling);
      return (subject) => any.some((matches) => matches(subject));
    }
    case '$geo': {
      const inside = compileBox(value, path).map(([field, test]) => compiling.bindField(field, test));
      return (subject) => inside.every((matches) => matches(subject));
    }
    case '$not': {
      const inner = compileObject(value, path, depth + 1, compiling);
      return (subject) => !inner(subject);
    }
  }
  if (key.startsWith('$'))
    throw wrong(path, 'is not an operator here; $and, $or, $not and $geo are allowed in place of a field');
  return compiling.bindField(key, compileTest(value, path, compiling));
}

function compileList<Subject>(
  value: unknown,
  path: string,
  depth: number,
  compiling: Compiling<Subject>,
): ((subject: Subject) => boolean)[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(path, 'must be a list of at least one filter');
  return value.map((filter, index) => compileObject(filter, `${path}[${index}]`, depth + 1, compiling));
}

function compileTest(value: unknown, path: string, compiling: { clauses: number }): Test {
  if (isScalar(value)) return OPERATORS.$eq(value, path);
  if (!isObject(value)) throw wrong(path, 'must be a string, a number, a boolean, null or an object of operators');
  const tests = Object.entries(value).map(([operator, operand]) => {
    compiling.clauses -= 1;
    if (compiling.clauses < 0) throw wrong(path, `is one clause too many: at most ${LIMITS.filterClauses}`);
    return compileOperator(operator, operand, `${path}.${operator}`);
  });
  if (tests.length === 0) throw wrong(path, 'has no operator');
  return (found) => tests.every((test) => test(found));
}

function compileOperator(operator: string, operand: unknown, path: string): Test {
  if (!Object.hasOwn(OPERATORS, operator))
    throw wrong(path, `is not an operator; there are ${Object.keys(OPERATORS).join(', ')}`);
  return OPERATORS[operator as keyof typeof OPERATORS](operand, path);
}

const OPERATORS = {
  $eq: (operand: unknown, path: string): Test => {
    const expected = scalar(operand, path);
    return (value) => value === expected;
  },
  $ne: (operand: unknown, path: string): Test => not(OPERATORS.$eq(operand, path)),
  $gt: (operand: unknown, path: string): Test => ordered(operand, path, (a, b) => a > b),
  $gte: (operand: unknown, path: string): Test => ordered(operand, path, (a, b) => a >= b),
  $lt: (operand: unknown, path: string): Test => ordered(operand, path, (a, b) => a < b),
  $lte: (operand: unknown, path: string): Test => ordered(operand, path, (a, b) => a <= b),
  $in: (operand: unknown, path: string): Test => {
    if (!Array.isArray(operand)) throw wrong(path, 'must be a list of values');
    if (operand.length > LIMITS.filterValues) throw wrong(path, `has more than ${LIMITS.filterValues} values`);
    const values = new Set<unknown>(operand.map((value, index) => scalar(value, `${path}[${index}]`)));
    return (value) => values.has(value);
  },
  $nin: (operand: unknown, path: string): Test => not(OPERATORS.$in(operand, path)),
  $exists: (operand: unknown, path: string): Test => {
    if (typeof operand !== 'boolean') throw wrong(path, 'must be true or false');
    return (value) => (value !== MISSING) === operand;
  },
} satisfies Record<string, (operand: unknown, path: string) => Test>;

const not =
  (test: Test): Test =>
  (value) =>
    !test(value);

/** The sides of a box on the globe, in degrees, and the field that each bounds. */
const SIDES = { south: 90, north: 90, west: 180, east: 180 } as const;

/** A box: between two parallels, and between two meridians, eastwards from `west` to `east`. */
function compileBox(value: unknown, path: string): [field: string, test: Test][] {
  if (!isObject(value)) throw wrong(path, 'must be an object with south, west, north and east, in degrees');
  for (const [side, most] of Object.entries(SIDES))
    if (!(isNumber(value[side]) && Math.abs(value[side] as number) <= most))
      throw wrong(`${path}.${side}`, `must be a number of degrees between -${most} and ${most}`);
  const unknown = Object.keys(value).find((key) => !(key in SIDES));
  if (unknown !== undefined) throw wrong(`${path}.${unknown}`, 'is not a side; there are south, west, north and east');
  const { south, north, west, east } = value as Record<keyof typeof SIDES, number>;
  if (south > north) throw wrong(path, 'has its south side north of its north side');
  const isEast = (degrees: number) => degrees >= west;
  const isWest = (degrees: number) => degrees <= east;
  return [
    ['latitude', (found) => isNumber(found) && found >= south && found <= north],
    // A box may lie across the 180th meridian.
    [
      'longitude',
      (found) => isNumber(found) && (west <= east ? isEast(found) && isWest(found) : isEast(found) || isWest(found)),
    ],
  ];
}

function ordered(operand: unknown, path: string, holds: (a: number | string, b: number | string) => boolean): Test {
  if (typeof operand !== 'string' && !isNumber(operand)) throw wrong(path, 'must be a number or a string');
  return (value) => typeof value === typeof operand && holds(value as typeof operand, operand);
}

function scalar(operand: unknown, path: string): Scalar {
  if (!isScalar(operand)) throw wrong(path, 'must be a string, a number, a boolean or null');
  return operand;
}

/** Reads own fields only: never what objects inherit, such as `constructor`. */
function reader(field: string): (metadata: Metadata) => unknown {
  const path = field.split('.');
  return (metadata) => {
    if (Object.hasOwn(metadata, field)) return metadata[field];
    if (path.length === 1) return MISSING;
    let found: unknown = metadata;
    for (const name of path) {
      if (!isObject(found) || !Object.hasOwn(found, name)) return MISSING;
      found = found[name];
    }
    return found;
  };
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isScalar = (value: unknown): value is Scalar =>
  value === null || typeof value === 'string' || typeof value === 'boolean' || isNumber(value);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrong = (field: string, what: string) => new Problem('invalid_request', `${field} ${what}.`, { field });
