// Why something was not done, in the server's words.

/** A refusal of the server's. `status` is 0 where it did not answer. */
export class Refused extends Error {
  constructor(
    message: string,
    public why = '',
    public then = '',
    public status = 0
  ) {
    super(message);
  }

  /** In one line. */
  get told(): string {
    return [this.message, this.why, this.then && `→ ${this.then}`].filter(part => part).join(' ');
  }
}

/** Whatever was thrown, in one line. */
export function inWords(error: any): string {
  return error?.told ?? String(error);
}
