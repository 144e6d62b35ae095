/**
 * The JSON that onespace receives and answers. These types import nothing of the service, so that the client can be a
 * package of its own; test/client/types.test-d.ts proves each equal to the schema that a route checks.
 */

/** What a vector was made from: the richest modality among the parts of an input. */
export type Modality = 'text' | 'image' | 'video';

/** What a vector is for. Some models embed a query otherwise than the documents it is to find. */
export type Role = 'query' | 'document';

/** Any JSON object; a filter selects by its fields. */
export type Metadata = Record<string, unknown>;

/**
 * Conditions on metadata: `{"colour": "red"}`, `{"year": {"$gte": 2020}}`, `{"tag": {"$in": ["a", "b"]}}`; also `$ne`,
 * `$gt`, `$lt`, `$lte`, `$nin`, `$exists`, `$geo`, `$and`, `$or` and `$not`.
 */
export type Filter = Record<string, unknown>;

/** One part of an input: exactly one of the fields. Images and videos are data: URLs, or URLs of an allowed host. */
export interface Part {
  text?: string;
  image?: string;
  video?: string;
  /** A file below a folder that the service's MEDIA_ROOTS names: `photos/2019/a.jpg`. */
  path?: string;
}

/** One input: a text, an image, a video, or several parts that become one sequence and one vector. */
export interface Input extends Part {
  /** The parts in their order, 16 at most. */
  parts?: Part[];
  /** Default: `document`. */
  role?: Role;
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** One text or several, with a vector each. */
export interface Texts {
  text: string | string[];
  /** Default: `document`. */
  role?: Role;
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** A vector and what it was made from. */
export interface Embedding {
  /** Unit vector of `dim` numbers: the inner product of two is their cosine. */
  embedding: number[];
  dim: number;
  modal_type: Modality;
  /** Name of the uploaded file, where there was one. */
  filename?: string;
  /** Length of the sequence the model received: text tokens and patches. */
  tokens: number;
  /** Whether text was cut at the limit of the model. */
  truncated: boolean;
}

/** One of several inputs that failed. */
export interface Failure {
  error: ProblemDocument;
}

/** An embedding or an error for each input, in the order of the request. */
export interface Embeddings {
  results: (Embedding | Failure)[];
}

/** One thing to search near: exactly one of the fields of a part, `parts`, `embedding` or `id`. */
export interface Term extends Part {
  parts?: Part[];
  /** A vector of the same model. */
  embedding?: number[];
  /** Id of a stored item; the item itself is left out of the results. */
  id?: string;
}

/** A term of a mix. */
export interface WeightedTerm extends Term {
  /** From -100 to 100; negative: less like this. Default: 1. */
  weight?: number;
}

/** What to search near (a term, or a `mix` of them) and which results to return. */
export interface Query extends Term {
  /** Terms whose vectors are added by weight. */
  mix?: WeightedTerm[];
  /** Number of results. Default: 5. */
  top_k?: number;
  /** Number of results to skip; `top_k` and `offset` together are 1000 at most. Default: 0. */
  offset?: number;
  /** Least score of a result, from -1 to 1. */
  min_score?: number;
  /** Only items of this modality. */
  modal_type?: Modality;
  filter?: Filter;
  /** What each result has besides id, score and modality. Default: `["metadata"]`. */
  include?: ('metadata' | 'embedding')[];
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** A search result. */
export interface Hit {
  id: string;
  /** Inner product, from -1 to 1; higher is closer. */
  score: number;
  modal_type: Modality;
  metadata?: Metadata;
  embedding?: number[];
}

/** Search results, best first. */
export interface Hits {
  results: Hit[];
}

/** One of several items to store: an input, or a ready `embedding`. */
export interface ItemInput extends Part {
  parts?: Part[];
  /** A vector of the same model; the service scales it to norm 1. */
  embedding?: number[];
  /** Modality of a ready embedding. Default: `text`. */
  modal_type?: Modality;
  /** 1 to 256 characters. An item with the same id is replaced. Default: a random UUID. */
  id?: string;
  metadata?: Metadata;
}

/** An item to store. */
export interface NewItem extends ItemInput {
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** Up to 1000 items to store with one write. */
export type NewItems = ItemInput[];

/** A stored item. */
export interface Item {
  id: string;
  modal_type: Modality;
  metadata: Metadata;
  /** Only where it was requested. */
  embedding?: number[];
}

/** Each item as it is stored or its own error, in the order of the request. */
export interface Items {
  results: (Item | Failure)[];
}

/** Which items to delete: those that a filter selects, or those with these ids. */
export type Deletion = { filter: Filter } | { ids: string[] };

/** How many items a deletion removed. */
export interface Deleted {
  deleted: number;
}

/** Which items to list, and how many per page. */
export interface ItemListing {
  /** Items of one page, 1 to 1000. Default: 100. */
  limit?: number;
  /** `next_cursor` of the page before. */
  cursor?: string;
  /** Only items of this modality. */
  modal_type?: Modality;
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** Items ordered by id. */
export interface ItemPage {
  items: Item[];
  /** Absent on the last page. */
  next_cursor?: string;
}

/** `degraded`: the model runs, but not on its first device. `down`: it cannot embed. */
export type State = 'ok' | 'degraded' | 'down';

/** Since when and why a model does not run on its first device. */
export interface Degradation {
  /** ISO 8601. */
  since: string;
  reason: string;
}

/** The index of a model. */
export interface IndexHealth {
  /** Kind of the vector store: `faiss` or `chroma`. */
  store: string;
  /** Whether it can store and search. */
  available: boolean;
  /** Why it is not available. */
  reason?: string;
  /** Number of items. */
  size?: number;
  /** Number of items by modality. */
  vectors?: { text: number; image: number; video: number };
}

/** What a request can meet: limits of the service and of the model. */
export interface Limits {
  text_characters: number;
  /** Longer text is cut; its reply has `truncated: true`. */
  text_tokens: number;
  /** Text tokens and patches of one input. */
  sequence_tokens: number;
  image_pixels: number;
  video_seconds: number;
  video_frames: number;
  video_fps: number;
  decode_seconds: number;
  upload_bytes: number;
  stored_video_bytes: number;
  stored_video_seconds: number;
  json_bytes: number;
  parts_per_input: number;
  inputs_per_request: number;
  items_per_request: number;
  openai_inputs_per_request: number;
  results_per_search: number;
  metadata_bytes: number;
  batch_size: number;
  batch_tokens: number;
  /** Requests and inputs that may wait; beyond it the service answers 503. */
  queue: number;
}

/** Name, revision and vector length of a model. */
export interface ModelIdentity {
  name: string;
  revision: string;
  dim: number;
}

/** One of the models that the service serves. */
export interface ModelHealth extends ModelIdentity {
  /** Name and revision. */
  id: string;
  /** Whether it answers requests that name no model. */
  default: boolean;
  /** Whether it can embed. */
  ready: boolean;
  state: State;
  /** Where the model runs; null while it runs nowhere. */
  device: string | null;
  degraded?: Degradation;
  index: IndexHealth;
  limits: Limits;
}

/** The state of the service, and of the first of its models. */
export interface Health {
  live: boolean;
  /** Whether the default model can embed, and the service is not about to stop. */
  ready: boolean;
  /** That of the default model; `draining`: the service is about to stop. */
  state: State | 'draining';
  model: ModelIdentity;
  device: string | null;
  degraded?: Degradation;
  index: IndexHealth;
  /** Version of the service. */
  version: string;
  uptime_seconds: number;
  limits: Limits;
  models: ModelHealth[];
}

/** The stable codes of errors; a newer service may have more. */
export type ProblemCode =
  | 'invalid_request'
  | 'invalid_json'
  | 'empty_body'
  | 'invalid_cursor'
  | 'unauthorized'
  | 'forbidden'
  | 'url_not_allowed'
  | 'not_found'
  | 'model_not_found'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'rollout_conflict'
  | 'candidate_incomplete'
  | 'conflict'
  | 'index_model_mismatch'
  | 'too_large'
  | 'too_many_pixels'
  | 'video_too_long'
  | 'unsupported_media'
  | 'wrong_modality'
  | 'host_not_allowed'
  | 'broken_media'
  | 'decode_timeout'
  | 'fetch_failed'
  | 'wrong_dimension'
  | 'not_normalizable'
  | 'model_not_usable'
  | 'rate_limited'
  | 'headers_too_large'
  | 'client_closed'
  | 'internal'
  | 'rollout_unsupported'
  | 'overloaded'
  | 'starting'
  | 'not_ready'
  | 'unavailable'
  | 'shutting_down'
  | 'store_unavailable'
  | 'model_unavailable'
  | 'disk_full';

/** An error, as RFC 9457 describes it. */
export interface ProblemDocument {
  /** `urn:onespace:problem:<code>` */
  type: string;
  code: ProblemCode;
  title: string;
  /** The HTTP status. */
  status: number;
  /** What was wrong with this request and what is allowed. */
  detail: string;
  /** Id of the request, as in the logs of the service. */
  request_id?: string;
  /** Further members depend on the code. */
  [extension: string]: unknown;
}

/** Images or videos that show the same. */
export interface DuplicateGroup {
  /** `exact`: the same content. `near`: the same picture in another size, format or compression. */
  kind: 'exact' | 'near';
  /** Id of the one with most pixels, and of these most bytes. */
  keep: string;
  items: Item[];
}

/** A page of groups; it may have none and still not be the last. */
export interface Duplicates {
  groups: DuplicateGroup[];
  /** Absent on the last page. */
  next_cursor?: string;
}

/** A folder to be indexed. */
export interface NewJob {
  /** A media root of the service or a folder below one (`photos/2019`), or its place on the machine of the service. */
  folder: string;
  /** Whether items whose file is gone are removed. Default: no. */
  prune?: boolean;
  /** Whether files that have not changed are stored again. Default: no. */
  all?: boolean;
  /** Whether to count only what would be done. Default: no. */
  dry_run?: boolean;
  /** Name of a model that the service serves. Default: its first. */
  model?: string;
}

/** Work that no connection waits for. */
export interface Job {
  id: string;
  /** Absent where it stores items that were sent. */
  folder?: string;
  /** Items that were sent. */
  items?: number;
  model?: string;
  prune: boolean;
  all: boolean;
  dry_run: boolean;
  state: 'queued' | 'running' | 'paused' | 'done' | 'cancelled' | 'failed';
  created_at: string;
  started_at?: string;
  ended_at?: string;
  /** Files by what became of them; `removed` counts items. */
  counts: {
    found: number;
    unchanged: number;
    stored: number;
    updated: number;
    moved: number;
    refused: number;
    removed: number;
  };
  /** Files stored or refused, on average. */
  files_per_second?: number;
  /** Estimate, while it runs. */
  seconds_left?: number;
  /** Why it failed, or what it waits for. */
  problem?: string;
}

/** A file that a job could not store, and why. */
export interface RefusedFile {
  file: string;
  reason: string;
}
