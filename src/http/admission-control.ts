import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../common/errors.js';
import { refuseBody } from './plugins/client-error.js';
import { MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS, maxBodyBytes } from './request-limits.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route uses the model: its requests need a permit, with or without a body. */
    encodes?: boolean;
    /** Whether the route stores what is sent: videos may be larger than elsewhere (MAX_STORED_MB). */
    stores?: boolean;
  }
}

export interface AdmissionLimits {
  /** Requests under way at once. */
  requests: number;
  /** Bytes of their bodies together. */
  bytes: number;
}

/** The body of a request under way, as far as it has arrived. */
export interface IncomingBody {
  /** Bytes that have arrived. */
  readonly bytes: number;
  readonly isComplete: boolean;
  /** Bytes a second since the request began. */
  readonly rate: number;
  /** Ends the request, and its connection, with `problem`. */
  refuse(problem: Problem): void;
}

/** At a limit, a body that arrives more slowly than this makes room for another request. */
const SLOW_BYTES_PER_SECOND = 64_000;
/** No body is slow in its first moments. */
const GRACE_SECONDS = 1;
/** How often the bytes of bodies that are arriving are added up. */
const SWEEP_MS = 250;
/** A client that sends a body over the limit may read the refusal for this long before it is cut off. */
const LINGER_MS = 10_000;

/**
 * Bounds the requests under way and the bytes of their bodies. A permit is taken before a body is read, so that a
 * service at its limit refuses at once; it is booked for what has arrived, never for what is announced, and a body
 * that arrives slowly yields it when others need it.
 */
export class AdmissionControl {
  private readonly bodies = new Set<IncomingBody>();
  /** When the last permit was taken, by `performance.now()`. */
  lastTakenMs = Number.NEGATIVE_INFINITY;

  /** @param onRefusal called with the limit that was reached */
  constructor(
    readonly limits: AdmissionLimits,
    private readonly onRefusal: (reason: keyof AdmissionLimits) => void,
  ) {}

  /** Requests that have a permit. */
  get underWay(): number {
    return this.bodies.size;
  }

  /** Bytes of their bodies that have arrived. */
  get bytesUnderWay(): number {
    let bytes = 0;
    for (const body of this.bodies) bytes += body.bytes;
    return bytes;
  }

  /**
   * Takes a permit. A single request is never refused for its size.
   * @returns the function that releases the permit; calling it again has no effect
   * @throws Problem `overloaded`
   */
  take(body: IncomingBody): () => void {
    this.keepWithin('requests', () => this.underWay >= this.limits.requests);
    this.keepWithin('bytes', () => this.underWay > 0 && this.bytesUnderWay >= this.limits.bytes);
    this.bodies.add(body);
    this.lastTakenMs = performance.now();
    return () => this.bodies.delete(body);
  }

  /** Refuses the slowest of the bodies that are arriving until what has arrived fits; called regularly. */
  sweep(): void {
    while (this.underWay > 1 && this.bytesUnderWay > this.limits.bytes)
      if (!this.refuseSlowest('bytes', Number.POSITIVE_INFINITY)) return;
  }

  /** @throws Problem `overloaded` when the limit is reached and no body is slow */
  private keepWithin(reason: keyof AdmissionLimits, isReached: () => boolean): void {
    while (isReached()) if (!this.refuseSlowest(reason, SLOW_BYTES_PER_SECOND)) throw this.refusal(reason);
  }

  /** @returns whether a body arrived more slowly than `below` bytes a second, and was refused */
  private refuseSlowest(reason: keyof AdmissionLimits, below: number): boolean {
    let slowest: IncomingBody | undefined;
    for (const body of this.bodies) if (!body.isComplete && body.rate < (slowest?.rate ?? below)) slowest = body;
    if (slowest === undefined) return false;
    slowest.refuse(this.refusal(reason));
    return this.bodies.delete(slowest);
  }

  private refusal(reason: keyof AdmissionLimits): Problem {
    this.onRefusal(reason);
    const underWay =
      reason === 'requests' ? `${this.underWay} requests` : `Requests of ${Math.round(this.bytesUnderWay / 1e6)} MB`;
    const detail = `${underWay} are already under way; try again in a second.`;
    return new Problem('overloaded', detail, { retry_after_seconds: 1 });
  }
}

/** A body that is measured by what its connection has received; what is more than `maxMemory` of it is on the disk. */
class SocketBody implements IncomingBody {
  private readonly startMs = performance.now();
  private readonly bytesBefore: number;

  private readonly message: IncomingMessage;

  constructor(
    private readonly reply: FastifyReply,
    private readonly maxMemory: number,
  ) {
    this.message = reply.request.raw;
    this.bytesBefore = this.message.socket.bytesRead ?? 0;
  }

  get isComplete(): boolean {
    return this.message.complete;
  }

  get bytes(): number {
    return Math.min(this.arrived, this.maxMemory);
  }

  private get arrived(): number {
    const announced = Number(this.message.headers['content-length'] ?? Number.NaN);
    if (this.isComplete && announced >= 0) return announced;
    // A request made inside the process has no socket.
    return (this.message.socket.bytesRead ?? 0) - this.bytesBefore;
  }

  get rate(): number {
    const seconds = (performance.now() - this.startMs) / 1000;
    return seconds < GRACE_SECONDS ? Number.POSITIVE_INFINITY : this.arrived / seconds;
  }

  refuse(problem: Problem): void {
    refuseBody(this.reply, problem);
  }
}

/** Takes a permit for every request of `api` that has a body or uses the model, before its body is read. */
export function controlAdmission(api: FastifyInstance): void {
  const { admission, config } = api.service;
  const fieldBytes = MAX_FORM_FIELDS * MAX_FORM_FIELD_BYTES;
  const maxMemory = config.MAX_UPLOAD_MB * 1e6 + fieldBytes;
  const timer = setInterval(() => admission.sweep(), SWEEP_MS);
  timer.unref();
  api.addHook('onClose', async () => clearInterval(timer));

  api.addHook('onRequest', async (request, reply) => {
    if (!request.routeOptions.config.encodes && !hasBody(request)) return;
    const maxBytes = maxBodyBytes(request);
    if (Number(request.headers['content-length'] ?? 0) > maxBytes + fieldBytes) {
      reply.raw.once('finish', () => setTimeout(() => request.raw.socket.destroy(), LINGER_MS).unref());
      const detail = `The body is larger than the ${maxBytes / 1e6} MB allowed.`;
      throw new Problem('too_large', detail, { limit_bytes: maxBytes });
    }
    reply.raw.once('close', admission.take(new SocketBody(reply, maxMemory)));
  });
}

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
