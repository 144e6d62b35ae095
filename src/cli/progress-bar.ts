const WIDTH = 30;
const REDRAW_MS = 50;
/** Without a terminal: a line instead of a bar, each time this part of the total has been added. */
const LINE_EVERY = 0.1;

const asCount = (count: number) => (Number.isInteger(count) ? String(count) : count.toFixed(1));

/** A progress bar on stderr with `done/total`, rate and time left; lines where stderr is no terminal. */
export class ProgressBar {
  private done = 0;
  /** Skipped work, which does not count towards the rate. */
  private skipped = 0;
  private readonly start = performance.now();
  private drawnAt = 0;
  private nextLine = LINE_EVERY;

  /** @param format an amount in words: a count, unless something else is given */
  constructor(
    private readonly label: string,
    private readonly total: number,
    private readonly format: (amount: number) => string = asCount,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  /** Counts work that an earlier run has done. */
  skip(count: number): void {
    this.skipped += count;
    this.done += count;
  }

  advance(count = 1): void {
    this.done += count;
    if (this.stream.isTTY) this.draw();
    else this.writeLine();
  }

  private draw(): void {
    const now = performance.now();
    const last = this.done >= this.total;
    if (!last && now - this.drawnAt < REDRAW_MS) return;
    this.drawnAt = now;
    const filled = Math.round((WIDTH * this.done) / this.total);
    const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled);
    this.stream.write(`\r\x1b[2K${this.label} ${bar} ${this.summary()}${last ? '\n' : ''}`);
  }

  private writeLine(): void {
    if (this.done / this.total < this.nextLine && this.done < this.total) return;
    while (this.done / this.total >= this.nextLine) this.nextLine += LINE_EVERY;
    this.stream.write(`${this.label} ${this.summary()}\n`);
  }

  private summary(): string {
    const seconds = (performance.now() - this.start) / 1000;
    const rate = (this.done - this.skipped) / seconds;
    const left =
      this.done >= this.total ? `in ${seconds.toFixed(1)} s` : `${Math.ceil((this.total - this.done) / rate)} s left`;
    return `${this.format(this.done)}/${this.format(this.total)}  ${this.format(rate)}/s  ${left}`;
  }
}
