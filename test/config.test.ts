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

  it('names every setting that is wrong, the value received and what is allowed', () => {
    const env = { PORT: 'eighty', DEVICE: 'tpu', MAX_QUEUE: '0', VIDEO_FPS: '0', KEEP_ORIGINALS: 'maybe' };
    for (const line of [
      'PORT=eighty: must be an integer from 0 to 65535',
      'DEVICE=tpu: must be one of auto, cpu, webgpu, cuda',
      'MAX_QUEUE=0: must be an integer from 1 to 100000',
      'VIDEO_FPS=0: must be a number greater than 0 and at most 60',
      'KEEP_ORIGINALS=maybe: must be true or false',
    ])
      expect(() => loadConfig(env)).toThrow(line);
  });
});
