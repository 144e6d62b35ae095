import type { Graph, Value } from './onnx.js';

/** The layers of a transformer, as nodes of a graph. */

export interface Width {
  width: number;
  heads: number;
}

/** `[.., from]` -> `[.., to]` */
export const linear = (graph: Graph, x: Value, from: number, to: number): Value =>
  graph.node('Add', [graph.node('MatMul', [x, graph.weights([from, to])]), graph.weights([to], 0.1)]);

export const layerNorm = (graph: Graph, x: Value, width: number): Value =>
  graph.node(
    'LayerNormalization',
    [x, graph.floats([width], Array(width).fill(1)), graph.floats([width], Array(width).fill(0))],
    {
      axis: -1,
      epsilon: { float: 1e-5 },
    },
  );

/**
 * Attention and a layer of four times the width, each around a residual.
 * @param bias added to the scores, `[batch or 1, 1, from or 1, to]`: very negative for positions that are masked
 */
export function block(graph: Graph, x: Value, { width, heads }: Width, bias: Value | undefined): Value {
  const attended = graph.node('Add', [x, attention(graph, layerNorm(graph, x, width), { width, heads }, bias)]);
  const inner = graph.node('Relu', [linear(graph, layerNorm(graph, attended, width), width, 4 * width)]);
  return graph.node('Add', [attended, linear(graph, inner, 4 * width, width)]);
}

function attention(graph: Graph, x: Value, { width, heads }: Width, bias: Value | undefined): Value {
  const split = graph.ints([4], [0, 0, heads, width / heads]);
  const project = (perm: number[]) =>
    graph.node('Transpose', [graph.node('Reshape', [linear(graph, x, width, width), split])], { perm });
  const [queries, keys, values] = [project([0, 2, 1, 3]), project([0, 2, 3, 1]), project([0, 2, 1, 3])];
  const scale = graph.floats([], [Math.sqrt(heads / width)]);
  const scores = graph.node('Mul', [graph.node('MatMul', [queries, keys]), scale]);
  const masked = bias === undefined ? scores : graph.node('Add', [scores, bias]);
  const mixed = graph.node('MatMul', [graph.node('Softmax', [masked], { axis: -1 }), values]);
  const joined = graph.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  return linear(graph, graph.node('Reshape', [joined, graph.ints([3], [0, 0, width])]), width, width);
}

/** One axis of the shape of a value, `[1]`. */
export const axis = (graph: Graph, x: Value, index: number): Value =>
  graph.node('Gather', [graph.node('Shape', [x]), graph.ints([1], [index])], { axis: 0 });

/** 0, 1, 2, ... below the length of an axis. */
export const positions = (graph: Graph, x: Value, index: number): Value =>
  graph.node('Range', [
    graph.ints([], [0]),
    graph.node('Squeeze', [axis(graph, x, index), graph.ints([1], [0])]),
    graph.ints([], [1]),
  ]);

/** 1 where a mask of integers is 1, and 0. */
export const asFloat = (graph: Graph, x: Value): Value => graph.node('Cast', [x], { to: 1 });
