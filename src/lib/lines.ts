/**
 * The lines of a UTF-8 stream, split at `\n` alone (with a `\r` before it removed).
 *
 * JSON may hold U+2028 and U+2029 unescaped inside strings, where `node:readline` splits from Node 24 on.
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  // Parts of a line that spans chunks: joined once, so that a long line costs no repeated concatenation.
  let parts: string[] = [];
  for await (const chunk of chunks) {
    const [first = '', ...others] = decoder.decode(chunk, { stream: true }).split('\n');
    parts.push(first);
    for (const other of others) {
      yield trimReturn(parts.join(''));
      parts = [other];
    }
  }
  const last = parts.join('') + decoder.decode();
  if (last !== '') yield trimReturn(last);
}

const trimReturn = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line);
