/** Session options of ONNX Runtime that every model runs with. */
export const RUNTIME_OPTIONS = {
  /** Its threads do not spin while they wait: requests and decoders need the cores. */
  intra_op: { allow_spinning: '0' },
  /**
   * Products of 8-bit integers overflow on x64 processors without VNNI; there, and only there, this takes slower ones
   * that do not.
   */
  x64quantprecision: '1',
};
