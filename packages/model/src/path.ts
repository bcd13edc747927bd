// The learning path in words: headings, counts, what a tick means.
import { ITranslate } from './engines';
import { ITask, IWeek } from './types';

/** `Week 3: Quantization`; the part that is no week has its title only. */
export function heading(week: IWeek, trans: ITranslate): string {
  return /^\d/.test(week.week) ? trans.__('Week %1: %2', week.week, week.title) : week.title;
}

/** How many of some weeks' tasks are done, and how many there are. */
export function counted(...weeks: IWeek[]): { done: number; all: number } {
  const tasks = weeks.flatMap(week => week.tasks);
  return { done: tasks.filter(task => task.done).length, all: tasks.length };
}

/** The place of the first week with something left to do; -1 when all is done. */
export function current(weeks: IWeek[]): number {
  return weeks.findIndex(week => week.tasks.some(task => !task.done));
}

/** What ticks a task, or ticked it. */
export function tickedBy(task: ITask, trans: ITranslate): string {
  return task.manual
    ? trans.__('Tick it yourself')
    : task.done
      ? task.form === 'lighter'
        ? trans.__('Measured, in its lighter form')
        : trans.__('Measured')
      : trans.__('It ticks itself when it was really done');
}
