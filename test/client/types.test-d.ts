import type { Static } from 'typebox';
import type * as client from '../../src/client/types.js';
import type { ProblemCode, ProblemDocument } from '../../src/common/errors.js';
import type { Limits, ModalityName, RoleName } from '../../src/http/schemas/common.js';
import type { Embedded, EmbeddedMany, TextBody } from '../../src/http/schemas/embed.js';
import type { Health } from '../../src/http/schemas/health.js';
import type { Input, Part } from '../../src/http/schemas/input.js';
import type { DuplicatePage } from '../../src/http/schemas/item-files.js';
import type {
  DeleteBody,
  DeletedCount,
  ItemBody,
  ItemPage,
  ItemsBody,
  ListQuery,
  StoredItem,
  StoredItems,
} from '../../src/http/schemas/items.js';
import type { JobBody, JobDocument } from '../../src/http/schemas/jobs.js';
import type { Results, RetrieveBody, ScoredItem, WeightedTerm } from '../../src/http/schemas/retrieve.js';

/**
 * Checked by the compiler alone (`npm run check`): the types of the client are those of the schemas that the routes
 * check and answer with. Where the client differs on purpose, the difference is spelled out.
 */

/** The same members, optional ones and `readonly` included; intersections and interfaces are flattened first. */
type Flat<T> = T extends object ? { [Key in keyof T]: Flat<T[Key]> } : T;
type IsIdentical<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2
    ? (<T>() => T extends B ? 1 : 2) extends <T>() => T extends A ? 1 : 2
      ? true
      : false
    : false;
type Equal<A, B> = IsIdentical<Flat<A>, Flat<B>>;

function prove<_Statement extends true>(): void {}
/** A statement that must not hold: it keeps `Equal` itself honest. */
function refute<_Statement extends false>(): void {}

refute<Equal<{ a: string }, { a?: string }>>();
refute<Equal<{ a: string }, { a: string; b?: number }>>();
refute<Equal<{ a: string | number }, { a: string }>>();
refute<Equal<{ a: { b: unknown } }, { a: { b: string } }>>();

prove<Equal<client.Modality, Static<typeof ModalityName>>>();
prove<Equal<client.Role, Static<typeof RoleName>>>();
prove<Equal<client.Part, Static<typeof Part>>>();
prove<Equal<client.Input, Static<typeof Input>>>();
prove<Equal<client.Texts, Static<typeof TextBody>>>();
prove<Equal<client.Embedding, Static<typeof Embedded>>>();
prove<Equal<client.Hit, Static<typeof ScoredItem>>>();
prove<Equal<client.Hits, Static<typeof Results>>>();
prove<Equal<client.NewItem, Static<typeof ItemBody>>>();
prove<Equal<client.NewItems, Static<typeof ItemsBody>>>();
prove<Equal<client.Item, Static<typeof StoredItem>>>();
prove<Equal<client.ItemPage, Static<typeof ItemPage>>>();
prove<Equal<client.Deletion, Static<typeof DeleteBody>>>();
prove<Equal<client.Deleted, Static<typeof DeletedCount>>>();
prove<Equal<client.Duplicates, Static<typeof DuplicatePage>>>();
prove<Equal<client.Job, Static<typeof JobDocument>>>();
prove<Equal<client.NewJob, Defaulted<Static<typeof JobBody>, 'prune' | 'all' | 'dry_run'>>>();
prove<Equal<client.Limits, Static<typeof Limits>>>();
prove<Equal<client.Health, Static<typeof Health>>>();
prove<Equal<client.ProblemCode, ProblemCode>>();
prove<Equal<client.ProblemDocument, ProblemDocument>>();

// What has a default may be left out of a request; the route fills it in.
type Defaulted<T, Names extends keyof T> = Omit<T, Names> & Partial<Pick<T, Names>>;
prove<Equal<client.WeightedTerm, Defaulted<Static<typeof WeightedTerm>, 'weight'>>>();
prove<
  Equal<
    client.Query,
    Omit<Defaulted<Static<typeof RetrieveBody>, 'top_k' | 'offset' | 'include'>, 'mix'> & {
      mix?: client.WeightedTerm[];
    }
  >
>();
prove<Equal<client.ItemListing, Defaulted<Static<typeof ListQuery>, 'limit'>>>();

// The schemas of replies leave the error of one of several inputs open; the routes fill in a problem document.
type WithProblem<Result> = Result extends { error: unknown } ? { error: ProblemDocument } : Result;
type ResultOf<Reply extends { results: unknown[] }> = Reply['results'][number];
prove<Equal<ResultOf<client.Embeddings>, WithProblem<ResultOf<Static<typeof EmbeddedMany>>>>>();
prove<Equal<ResultOf<client.Items>, WithProblem<ResultOf<Static<typeof StoredItems>>>>>();
