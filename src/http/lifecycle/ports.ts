import type { RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config.js';
import { ApiKeys } from '../plugins/auth.js';
import { Lifecycle } from './lifecycle.js';
import { Listener } from './listener.js';
import { answerWhileStarting } from './starting.js';

/** How often Node checks for requests that are overdue. */
const OVERDUE_CHECK_MS = 1000;

/** The ports of the service, and where it is in its life. They open before there is an app to serve them. */
export class Ports {
  readonly public: Listener;
  /** The operator's port, where the settings name one. */
  readonly admin: Listener | undefined;
  readonly apiKeys: ApiKeys;

  /** @throws Error when the keys do not allow the ports to be opened */
  constructor(
    private readonly config: Config,
    readonly lifecycle = new Lifecycle(),
  ) {
    this.apiKeys = new ApiKeys(config);
    const starting = answerWhileStarting(lifecycle);
    this.public = openable(config, config.PORT, starting);
    this.admin = config.ADMIN_PORT === 0 ? undefined : openable(config, config.ADMIN_PORT, starting);
  }

  /** Opens the ports: until `ready`, every request is answered that the service starts. @throws Error when one is taken */
  async listen(): Promise<void> {
    await this.public.listen();
    await this.admin?.listen();
  }

  /** From now on the attached apps answer. */
  ready(): void {
    this.lifecycle.phase = 'ready';
    this.public.handOver();
    this.admin?.handOver();
  }

  /**
   * Fails the readiness at once, serves requests for SHUTDOWN_DELAY_SECONDS, then refuses new connections, and waits
   * for the requests under way. The operator's port stays open.
   */
  async drain(): Promise<void> {
    this.lifecycle.phase = 'draining';
    await sleep(1000 * this.config.SHUTDOWN_DELAY_SECONDS);
    await this.public.drain();
  }
}

function openable(config: Config, port: number, starting: RequestListener): Listener {
  const requestTimeout = 1000 * config.REQUEST_TIMEOUT_SECONDS;
  const options = {
    requestTimeout,
    headersTimeout: Math.min(1000 * config.HEADERS_TIMEOUT_SECONDS, requestTimeout),
    keepAliveTimeout: 1000 * config.KEEP_ALIVE_SECONDS,
    connectionsCheckingInterval: OVERDUE_CHECK_MS,
    // The app checks the host, and refuses with a problem document.
    requireHostHeader: false,
    stalledMs: 1000 * config.STALLED_REPLY_SECONDS,
  };
  return new Listener({ host: config.HOST, port }, options, starting);
}
