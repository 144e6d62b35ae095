const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** A number of bytes in decimal units, for messages: `313.7 MB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${value < 100 && power > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}
