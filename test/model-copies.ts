import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const BUNDLED = 'models/onespace-mini';
const { revision: BUNDLED_REVISION }: { revision: string } = JSON.parse(readFileSync(`${BUNDLED}/model.json`, 'utf8'));
/** The names of the bundled model, and of a later revision that the tests make. */
export const [THIS, NEXT] = [`onespace-mini@${BUNDLED_REVISION}`, 'onespace-mini@next'];
export { BUNDLED_REVISION };

const FILES = ['model.json', 'model.fp32.onnx', 'model.q8.onnx', 'tokenizer.json', 'weights.bin'];
/** Byte range of the 8-bit numbers of one matrix in `weights.bin`, which every modality uses. */
const MATRIX = { from: 6_955_520, to: 7_217_664 };

export interface ModelCopy {
  name?: string;
  revision?: string;
  /** Bits flipped in every weight of one matrix: 1 changes vectors a little, 64 a lot. */
  flip?: number;
  /** Words whose token id the graph does not have, so that the model loads but fails on them; `all` for every word. */
  poison?: 'all' | string;
}

/** Copies of the bundled model under other names: real models with different vectors. */
export class ModelCopies {
  private made = new Set<string>();

  private constructor(readonly folder: string) {}

  static async open(): Promise<ModelCopies> {
    return new ModelCopies(await mkdtemp(path.join(tmpdir(), 'onespace-models-')));
  }

  /** @returns the folder of the copy, as MODEL takes it */
  async make({ name = 'onespace-mini', revision = BUNDLED_REVISION, flip = 0, poison }: ModelCopy): Promise<string> {
    const plain = path.join(this.folder, `${name}-${revision}`);
    const dir = this.made.has(plain) ? `${plain}-${this.made.size}` : plain;
    this.made.add(dir);
    for (const file of FILES) await cp(path.join(BUNDLED, file), path.join(dir, file));
    const manifest = JSON.parse(await readFile(path.join(dir, 'model.json'), 'utf8'));
    if (flip !== 0) {
      const weights = await readFile(path.join(dir, 'weights.bin'));
      for (let i = MATRIX.from; i < MATRIX.to; i++) weights[i] = (weights[i] as number) ^ flip;
      await writeFile(path.join(dir, 'weights.bin'), weights);
      manifest.files['weights.bin'].sha256 = sha256(weights);
    }
    if (poison !== undefined) {
      const tokenizer = await poisonedTokenizer(poison);
      await writeFile(path.join(dir, 'tokenizer.json'), tokenizer);
      manifest.files['tokenizer.json'] = { bytes: tokenizer.length, sha256: sha256(tokenizer) };
    }
    await writeFile(path.join(dir, 'model.json'), JSON.stringify({ ...manifest, name, revision }));
    return dir;
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
/** Larger than any vocabulary. */
const NO_TOKEN = 1_000_000;

async function poisonedTokenizer(words: string): Promise<Buffer> {
  const tokenizer = JSON.parse(await readFile(path.join(BUNDLED, 'tokenizer.json'), 'utf8'));
  const { vocab } = tokenizer.model as { vocab: Record<string, number> };
  for (const [token, id] of Object.entries(vocab)) {
    if (words === 'all' || token.replace(/^[^a-z]+/, '') === words) vocab[token] = id + NO_TOKEN;
  }
  return Buffer.from(JSON.stringify(tokenizer));
}
