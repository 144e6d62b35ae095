/** Session options of ONNX Runtime that every model runs with. */
export const ORT_SESSION_OPTIONS = {
  /** Idle threads of the runtime block instead of spinning: requests and decoders need the cores. */
  intra_op: { allow_spinning: '0' },
  /** On x64 processors without VNNI, and only there, u8*s8 products saturate; this selects kernels that do not. */
  x64quantprecision: '1',
};
