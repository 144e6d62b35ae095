import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Replies that may last longer than a shutdown: they are cut off then, which readers notice, and can ask for the rest. */
export class LongReplies {
  private readonly underWay = new Set<ServerResponse>();

  constructor(app: FastifyInstance) {
    app.addHook('preClose', async () => {
      for (const reply of this.underWay) reply.destroy();
    });
  }

  get size(): number {
    return this.underWay.size;
  }

  add(reply: ServerResponse): void {
    this.underWay.add(reply);
    reply.once('close', () => this.underWay.delete(reply));
  }
}
