import { describe, expect, it } from 'vitest';
import { loadConfig, Settings, settingWarnings } from '../src/config.js';

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

describe('settingWarnings', () => {
  it.each([
    ['MODLE', 'MODEL'],
    ['PROT', 'PORT'],
    ['CACHE_DISC_MB', 'CACHE_DISK_MB'],
    ['MAX_UPLOADS_MB', 'MAX_UPLOAD_MB'],
    ['API_KEY', 'API_KEYS'],
    ['data_dir', 'DATA_DIR'],
    ['RATE-LIMIT', 'RATE_LIMIT'],
    ['ONESPACE_LOG_LEVEL', 'LOG_LEVEL'],
    ['ALLOW_ANONYMUS', 'ALLOW_ANONYMOUS'],
  ])('takes %s for %s, and does not show its value', (name, meant) => {
    const [warning, ...others] = settingWarnings({ [name]: 'a secret' });
    expect(others).toEqual([]);
    expect(warning).toContain(`${name} is not a setting and has no effect: did you mean ${meant}?`);
    expect(warning).not.toContain('a secret');
  });

  it.each(['MAX_PARALLEL_FETCHES', 'CACHE_TTL', 'ONESPACE_TURBO'])('names %s, which begins like a setting', (name) => {
    expect(settingWarnings({ [name]: '1' })).toEqual([expect.stringContaining(`${name} is not a setting`)]);
  });

  it("finds every setting with two letters in each other's place", () => {
    for (const name of Object.keys(Settings.properties)) {
      const swapped = `${name.slice(0, -2)}${name.at(-1)}${name.at(-2)}`;
      if (swapped === name || swapped in Settings.properties) continue;
      expect(settingWarnings({ [swapped]: '1' }), swapped).toEqual([expect.stringContaining(`did you mean ${name}?`)]);
    }
  });

  it('says nothing of settings, and of what other programs, shells and orchestrators put there', () => {
    const others =
      'HOME PATH PWD USER HOSTNAME TERM SHELL LANG TZ SHLVL _ MODE TEST VITEST NODE_ENV NODE_OPTIONS npm_package_name ' +
      'HF_HOME HF_HUB_CACHE LOG_FORMAT CHROMA_SERVICE_HOST CHROMA_PORT_8000_TCP_ADDR CACHE_SERVICE_PORT ' +
      'ONESPACE_SERVICE_HOST ONESPACE_PORT ONESPACE_PORT_8000_TCP ONESPACE_URL ONESPACE_API_KEY FFMPEG_PATH ' +
      'UV_THREADPOOL_SIZE OMP_NUM_THREADS OTEL_SERVICE_NAME http_proxy NO_PROXY CI DEBUG';
    const names = [...Object.keys(Settings.properties), ...others.split(' ')];
    expect(settingWarnings(Object.fromEntries(names.map((name) => [name, 'x'])))).toEqual([]);
  });
});
