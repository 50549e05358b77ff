/** A hello that nobody has answered is said again, each time later. */

const SECONDS = 5;

export class Greeting {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly hello: () => void) {}

  begin(seconds = SECONDS): void {
    this.end();
    this.hello();
    this.timer = setTimeout(() => this.begin(seconds * 2), seconds * 1000);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}
