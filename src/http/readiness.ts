import type { Static } from 'typebox';
import type { Config } from '../config.js';
import type { ModelRegistry } from '../serving/model-registry.js';
import { isShared } from '../store/open-store.js';
import type { Lifecycle } from './lifecycle/lifecycle.js';
import type { Readiness, ReadinessReason } from './schemas/health.js';

type Reason = Static<typeof ReadinessReason>;

/**
 * Whether a balancer should send requests here. What another replica would do no better makes a service degraded, not
 * unready: were the shared store down, every replica would leave at once, and with them embedding, which works.
 */
export async function readinessOf(
  { phase }: Lifecycle,
  models: ModelRegistry,
  config: Pick<Config, 'STORE'>,
): Promise<Static<typeof Readiness>> {
  const reasons: Reason[] = [];
  const degraded: Reason[] = [];
  if (phase !== 'ready') reasons.push({ code: 'draining', detail: 'The service is about to stop.' });
  for (const model of models.all) {
    const { isReady, degradation, device } = model.encoder;
    // A balancer cannot tell requests for one model from those for another.
    const ofModel = model === models.default ? reasons : degraded;
    if (!isReady) ofModel.push({ code: 'model_down', model: model.id, detail: 'The model runs on no device.' });
    else if (degradation !== undefined) {
      const detail = `The model runs on ${device}: ${degradation.reason}.`;
      degraded.push({ code: 'model_moved', model: model.id, detail });
    }
    if (await model.storeProbe.isUp()) continue;
    const ofStore = isShared(config) ? degraded : ofModel;
    ofStore.push({ code: 'store_unavailable', model: model.id, detail: 'The vector store cannot serve.' });
  }
  return { ready: reasons.length === 0, state: phase === 'ready' ? 'ready' : 'draining', reasons, degraded };
}
