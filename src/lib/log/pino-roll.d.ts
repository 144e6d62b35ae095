declare module 'pino-roll' {
  import type { EventEmitter } from 'node:events';

  /** The part of the options that is used; the package has no types of its own. */
  interface Options {
    file: string;
    /** A number with its unit: `100b`, `10m`. */
    size: string;
    frequency: 'daily';
    limit: { count: number; removeOtherLogFiles: boolean };
    /** Of the destination: bytes that may wait to be written. */
    maxLength: number;
    mkdir: boolean;
  }

  interface Destination extends EventEmitter {
    write(line: string): boolean;
    flushSync(): void;
  }

  export default function open(options: Options): Promise<Destination>;
}
