import '../../lib/no-telemetry.js';
import * as ort from 'onnxruntime-node';
import type { Device } from '../device.js';
import { ORT_SESSION_OPTIONS } from '../worker/ort-options.js';

/**
 * A session of a bundled graph on a device.
 * @param threads that one forward pass uses
 * @throws Error when the device does not run the graph
 */
export const openGraph = (path: string, device: Device, threads: number): Promise<ort.InferenceSession> =>
  ort.InferenceSession.create(path, {
    executionProviders: [device],
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all',
    // The fp32 graph dequantizes weights that are stored as 8-bit integers. ONNX Runtime would fuse that into integer
    // products, and the last digits of a vector would depend on the other inputs of its batch.
    extra: { session: { disable_quant_qdq: '1', ...ORT_SESSION_OPTIONS } },
  });
