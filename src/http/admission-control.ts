import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../common/errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route uses the model: its requests need a permit. */
    encodes?: boolean;
  }
}

export interface AdmissionLimits {
  /** Requests under way at once. */
  requests: number;
  /** Bytes of their bodies together. */
  bytes: number;
}

/**
 * Bounds the requests under way. A permit is taken before a body is read, so that a service at its limit refuses at
 * once instead of receiving what it cannot serve.
 */
export class AdmissionControl {
  private requests = 0;
  private bytes = 0;

  /** @param onRefusal called with the limit that was reached */
  constructor(
    private readonly limits: AdmissionLimits,
    private readonly onRefusal: (reason: keyof AdmissionLimits) => void,
  ) {}

  /** Requests that have a permit. */
  get underWay(): number {
    return this.requests;
  }

  /**
   * Takes a permit for a request with a body of so many bytes. A single request is never refused for its size.
   * @returns the function that gives the permit back; calling it again has no effect
   * @throws Problem `overloaded`
   */
  take(bytes: number): () => void {
    if (this.requests >= this.limits.requests) throw this.refusal('requests', `${this.requests} requests`);
    const fits = this.requests === 0 || this.bytes + bytes <= this.limits.bytes;
    if (!fits) throw this.refusal('bytes', `Requests of ${Math.round(this.bytes / 1e6)} MB`);
    this.requests++;
    this.bytes += bytes;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.requests--;
      this.bytes -= bytes;
    };
  }

  private refusal(reason: keyof AdmissionLimits, underWay: string): Problem {
    this.onRefusal(reason);
    const detail = `${underWay} are already under way; try again in a second.`;
    return new Problem('overloaded', detail, { retry_after_seconds: 1 });
  }
}

/** Takes a permit for every request of `api` that uses the model, before its body is read. */
export function controlAdmission(api: FastifyInstance): void {
  const { admission } = api.service;
  api.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.encodes) reply.raw.once('close', admission.take(bodyBytes(request)));
  });
}

/** The length of a body as its header announces it; the largest that is allowed where no header does. */
function bodyBytes({ headers, server }: FastifyRequest): number {
  const limit = server.service.config.MAX_UPLOAD_MB * 1e6;
  const announced = Number(headers['content-length']);
  if (announced >= 0) return Math.min(announced, limit);
  return headers['transfer-encoding'] === undefined ? 0 : limit;
}
