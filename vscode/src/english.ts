// The words of this extension: VS Code's own are English here.
import { ITranslate } from '@llm-magics/model';

/** Fills `%1`, `%2` in. */
export const english: ITranslate = {
  __: (text, ...values) => text.replace(/%(\d)/g, (_, number) => String(values[Number(number) - 1]))
};
