/** Calls `run(i)` repeatedly for `seconds`. @returns the time of each call in ms, and the total in seconds */
export function repeat(seconds, run) {
  const timesMs = [];
  const start = performance.now();
  let now = start;
  for (let i = 0; now - start < seconds * 1000; i++) {
    run(i);
    const before = now;
    now = performance.now();
    timesMs.push(now - before);
  }
  return [timesMs, (now - start) / 1000];
}
