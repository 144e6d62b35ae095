import pino from 'pino';

/**
 * Standard output, for the lines of the log. When what reads it is gone (the terminal was closed, the pipe broke), lines
 * are dropped and the service continues: pino would throw, and try for ever to write the rest when the process ends.
 */
export function standardOutput(): pino.DestinationStream {
  const output = pino.destination(1);
  output.on('error', () => Object.assign(output, { write: () => true, flush() {}, flushSync() {}, end() {} }));
  return output;
}
