import { describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config.js';

describe('loadConfig', () => {
  it('fills in every default from an empty environment', () => {
    expect(loadConfig({})).toMatchObject({ HOST: '127.0.0.1', PORT: 8000, MODEL: 'onespace-mini', VIDEO_FPS: 1 });
  });

  it('reads numbers and treats an empty variable as absent', () => {
    expect(loadConfig({ PORT: '9000', HOST: '', VIDEO_FPS: '0.5' })).toMatchObject({
      PORT: 9000,
      HOST: '127.0.0.1',
      VIDEO_FPS: 0.5,
    });
  });

  it('names every setting that is wrong', () => {
    const load = () => loadConfig({ PORT: 'eighty', DEVICE: 'tpu', MAX_QUEUE: '0' });
    for (const line of ['PORT=eighty: must be integer', 'DEVICE=tpu: ', 'MAX_QUEUE=0: must be >= 1'])
      expect(load).toThrow(line);
  });
});
