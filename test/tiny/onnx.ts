import { randomFrom } from '../random.js';

/**
 * Writes ONNX graphs (https://onnx.ai/onnx/repo-docs/IR.html): protocol buffers with the few messages that a graph of
 * matrices needs.
 */

const FLOAT = 1;
const INT64 = 7;
const TYPES = { float32: FLOAT, int64: INT64 } as const;
type ElementType = keyof typeof TYPES;

/** Axes of an input or output: a number is a fixed length, a name a variable one. */
type Shape = readonly (number | string)[];
type Attribute = number | { float: number } | readonly number[];

/** The name of a value in a graph. */
export type Value = string;

interface Tensor {
  name: string;
  type: ElementType;
  dims: readonly number[];
  data: Float32Array | BigInt64Array;
}

/** A graph that is built node by node; `node` returns the name of its output. */
export class Graph {
  private readonly nodes: Uint8Array[] = [];
  private readonly tensors: Tensor[] = [];
  private readonly inputs: Uint8Array[] = [];
  private readonly outputs: Uint8Array[] = [];
  private readonly uniform: () => number;
  private count = 0;

  /** @param seed of the random weights */
  constructor(seed: number) {
    this.uniform = randomFrom(seed);
  }

  input(name: string, type: ElementType, shape: Shape): Value {
    this.inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, value: Value, shape: Shape): void {
    this.nodes.push(node('Identity', [value], name, {}));
    this.outputs.push(valueInfo(name, 'float32', shape));
  }

  node(operator: string, inputs: readonly Value[], attributes: Record<string, Attribute> = {}): Value {
    const output = `v${this.count++}`;
    this.nodes.push(node(operator, inputs, output, attributes));
    return output;
  }

  floats(dims: readonly number[], data: readonly number[]): Value {
    return this.tensor({ type: 'float32', dims, data: Float32Array.from(data) });
  }

  ints(dims: readonly number[], data: readonly number[]): Value {
    return this.tensor({ type: 'int64', dims, data: BigInt64Array.from(data, BigInt) });
  }

  /** Random weights, uniform around zero, with a range that keeps the outputs of a layer bounded. */
  weights(dims: readonly number[], scale = 1): Value {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const width = scale * Math.sqrt(3 / (dims.at(-2) ?? 1));
    return this.tensor({
      type: 'float32',
      dims,
      data: Float32Array.from({ length: size }, () => width * (2 * this.uniform() - 1)),
    });
  }

  /** The file of the graph; with `externalName` the weights are in another file of that name. */
  toFiles(externalName?: string): { graph: Uint8Array; external?: Uint8Array } {
    const external: Uint8Array[] = [];
    let offset = 0;
    const tensors = this.tensors.map((tensor) => {
      if (externalName === undefined || tensor.type !== 'float32') return encodeTensor(tensor);
      const bytes = bytesOf(tensor.data);
      const location = { location: externalName, offset, length: bytes.length };
      external.push(bytes);
      offset += bytes.length;
      return encodeTensor(tensor, location);
    });
    const graph = concat([
      ...this.nodes.map((bytes) => field(1, bytes)),
      field(2, text('tiny')),
      ...tensors.map((bytes) => field(5, bytes)),
      ...this.inputs.map((bytes) => field(11, bytes)),
      ...this.outputs.map((bytes) => field(12, bytes)),
    ]);
    const model = concat([integer(1, 8), field(7, graph), field(8, concat([field(1, text('')), integer(2, 17)]))]);
    return { graph: model, ...(externalName === undefined ? {} : { external: concat(external) }) };
  }

  private tensor(tensor: Omit<Tensor, 'name'>): Value {
    const name = `t${this.count++}`;
    this.tensors.push({ name, ...tensor });
    return name;
  }
}

function node(
  operator: string,
  inputs: readonly Value[],
  output: Value,
  attributes: Record<string, Attribute>,
): Uint8Array {
  return concat([
    ...inputs.map((input) => field(1, text(input))),
    field(2, text(output)),
    field(4, text(operator)),
    ...Object.entries(attributes).map(([name, value]) => field(5, attribute(name, value))),
  ]);
}

function attribute(name: string, value: Attribute): Uint8Array {
  const [FLOAT_KIND, INT_KIND, INTS_KIND] = [1, 2, 7];
  if (typeof value === 'number') return concat([field(1, text(name)), integer(3, value), integer(20, INT_KIND)]);
  if ('float' in value) {
    const bytes = new Uint8Array(new Float32Array([value.float]).buffer);
    return concat([field(1, text(name)), varint((2 << 3) | 5), bytes, integer(20, FLOAT_KIND)]);
  }
  return concat([field(1, text(name)), ...value.map((item) => integer(8, item)), integer(20, INTS_KIND)]);
}

function valueInfo(name: string, type: ElementType, shape: Shape): Uint8Array {
  const dims = shape.map((dim) => field(1, typeof dim === 'number' ? integer(1, dim) : field(2, text(dim))));
  const tensorType = concat([integer(1, TYPES[type]), field(2, concat(dims))]);
  return concat([field(1, text(name)), field(2, field(1, tensorType))]);
}

function encodeTensor(
  { name, type, dims, data }: Tensor,
  external?: { location: string; offset: number; length: number },
): Uint8Array {
  const content =
    external === undefined
      ? [field(9, bytesOf(data))]
      : [
          ...Object.entries(external).map(([key, value]) =>
            field(13, concat([field(1, text(key)), field(2, text(String(value)))])),
          ),
          integer(14, 1),
        ];
  return concat([...dims.map((dim) => integer(1, dim)), integer(2, TYPES[type]), field(8, text(name)), ...content]);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

const text = (value: string) => new TextEncoder().encode(value);
const concat = (parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);
/** A field whose value has its length before it. */
const field = (number: number, bytes: Uint8Array) => concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
const integer = (number: number, value: number) => concat([varint(number << 3), varint(value)]);

/** Seven bits a byte, least first; what is negative takes ten bytes. */
function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
