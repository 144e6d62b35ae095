const WIDTH = 30;
const REDRAW_MS = 50;
/** Without a terminal, a line every so often instead of a bar. */
const LINE_EVERY = 0.1;

const asCount = (count: number) => (Number.isInteger(count) ? String(count) : count.toFixed(1));

/** A progress bar on stderr: `done/total`, rate and time left. */
export class Progress {
  private done = 0;
  /** What was done before, which says nothing of the rate. */
  private before = 0;
  private readonly start = performance.now();
  private drawnAt = 0;
  private nextLine = LINE_EVERY;

  /** @param say how to say an amount */
  constructor(
    private readonly label: string,
    private readonly total: number,
    private readonly say: (amount: number) => string = asCount,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  /** Counts what need not be done any more. */
  skip(count: number): void {
    this.before += count;
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
    const rate = (this.done - this.before) / seconds;
    const left =
      this.done >= this.total ? `in ${seconds.toFixed(1)} s` : `${Math.ceil((this.total - this.done) / rate)} s left`;
    return `${this.say(this.done)}/${this.say(this.total)}  ${this.say(rate)}/s  ${left}`;
  }
}
