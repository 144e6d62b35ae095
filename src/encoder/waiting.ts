/** Session options of ONNX Runtime: its threads do not spin while they wait, for requests and decoders need the cores. */
export const WITHOUT_SPINNING = { intra_op: { allow_spinning: '0' } };
