// Where it is told what changed: a server's socket, or the output of a command. One attempt at a time, with longer and
// longer pauses between failed ones; it comes back by itself when the other side does.
import { IMessage } from './types';

/** What the feed needs of a WebSocket; `onclose` may be given a `reason` in words. */
export interface ISocket {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  close(): void;
}

/** ms before the first and the longest wait for the next attempt. */
const FIRST = 500;
const LONGEST = 30000;

export class Feed {
  private _socket: ISocket | null = null;
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _pause = FIRST;
  private _wanted = false;
  private _opened = 0;

  /**
   * @param connect - Opens a socket.
   * @param told - Gets every message.
   * @param away - Gets whether the other side is away (true after a failed attempt, false when it answers), and why.
   * @param steady - ms that a connection has to last before the next pause is short again; what opens and breaks at
   *   once, again and again, is asked less and less often.
   */
  constructor(
    private connect: () => ISocket,
    private told: (message: IMessage) => void,
    private away: (away: boolean, why?: string) => void,
    private steady = 0
  ) {}

  /** Begin to listen. */
  start(): void {
    if (!this._wanted) {
      this._wanted = true;
      this._pause = FIRST;
      this._open();
    }
  }

  /** Leave off. */
  stop(): void {
    this._wanted = false;
    if (this._timer !== null) {
      clearTimeout(this._timer);
      this._timer = null;
    }
    const socket = this._socket;
    this._socket = null;
    socket?.close();
  }

  private _open(): void {
    let socket: ISocket;
    this._opened = 0;
    try {
      socket = this.connect();
    } catch {
      this._again();
      return;
    }
    this._socket = socket;
    socket.onopen = () => {
      if (socket === this._socket) {
        this._opened = Date.now();
        this.away(false);
      }
    };
    socket.onmessage = event => {
      if (socket === this._socket) {
        let message: IMessage;
        try {
          message = JSON.parse(event.data);
        } catch {
          return;
        }
        this.told(message);
      }
    };
    socket.onclose = event => {
      if (socket === this._socket) {
        this._socket = null;
        this._again(event?.reason);
      }
    };
  }

  private _again(why?: string): void {
    if (!this._wanted) {
      return;
    }
    if (this._opened && Date.now() - this._opened >= this.steady) {
      this._pause = FIRST;
    }
    this.away(true, why);
    this._timer = setTimeout(() => {
      this._timer = null;
      this._open();
    }, this._pause);
    this._pause = Math.min(this._pause * 2, LONGEST);
  }
}
