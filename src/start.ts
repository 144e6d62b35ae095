import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { type Config, loadConfig } from './config.js';
import { Lifecycle } from './http/lifecycle/lifecycle.js';
import { Ports } from './http/lifecycle/ports.js';

/** The service while it runs. */
export interface Running {
  url: string;
  /** Ids of its models. */
  models: string[];
  /**
   * Drains the ports, then closes everything behind them.
   * @param signal for the log
   * @throws Error when requests are still under way after SHUTDOWN_TIMEOUT_SECONDS
   */
  stop(signal: string): Promise<void>;
}

/**
 * Opens the ports as soon as the settings are known to be valid, then loads what serves them.
 * @param cancelled ends the start at its next step
 * @throws Error that says what is missing or wrong
 */
export async function start(env: NodeJS.ProcessEnv, cancelled: AbortSignal): Promise<Running> {
  const config = loadConfig(env);
  const ports = new Ports(config, new Lifecycle(cancelled));
  await ports.listen();
  // Loads nearly all modules of the service, which takes a second.
  const { buildApp } = await import('./app.js');
  cancelled.throwIfAborted();
  const app = await buildApp(config, ports);
  await app.ready();
  return {
    url: ports.public.url,
    models: app.service.models.all.map(({ id }) => id),
    stop: (signal) => stop(signal, app, ports, config),
  };
}

async function stop(signal: string, app: FastifyInstance, ports: Ports, config: Config): Promise<void> {
  const { SHUTDOWN_DELAY_SECONDS: delay, SHUTDOWN_TIMEOUT_SECONDS: timeout } = config;
  app.log.info({ delay_seconds: delay, timeout_seconds: timeout }, `${signal}: finishing the requests under way`);
  const overdue = sleep(1000 * (delay + timeout)).then(() => {
    throw new Error(`Requests were still under way ${timeout} s after the port was closed (SHUTDOWN_TIMEOUT_SECONDS).`);
  });
  const stopped = ports.drain().then(() => app.close());
  await Promise.race([stopped, overdue]);
}
