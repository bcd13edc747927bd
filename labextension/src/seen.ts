// A widget that works only while somebody can see it.
import { ReactWidget } from '@jupyterlab/ui-components';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

/** Whether somebody can see a widget: it is shown, on a page that is in front. */
export function isSeen(widget: Widget): boolean {
  return widget.isVisible && document.visibilityState === 'visible';
}

/** Is told when it comes to be seen and when it no longer is. */
export abstract class SeenWidget extends ReactWidget {
  protected seen = false;

  constructor() {
    super();
    document.addEventListener('visibilitychange', this._look);
  }

  dispose(): void {
    document.removeEventListener('visibilitychange', this._look);
    super.dispose();
    this._look();
  }

  processMessage(message: Message): void {
    super.processMessage(message);
    if (message.type.startsWith('after-')) {
      this._look();
    }
  }

  protected abstract look(seen: boolean): void;

  private _look = (): void => {
    const seen = isSeen(this);
    if (seen !== this.seen) {
      this.seen = seen;
      this.look(seen);
    }
  };
}
