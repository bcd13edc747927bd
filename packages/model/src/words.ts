// Quantities and names as a person reads them in a narrow panel. Plain functions, no Lab.

/** Seconds as `95 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 120) {
    return `${s} s`;
  }
  if (s < 3600) {
    return `${Math.floor(s / 60)} min`;
  }
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return `${Math.floor(s / 3600)} h${minutes ? ` ${minutes} min` : ''}`;
  }
  const hours = Math.floor((s % 86400) / 3600);
  return `${Math.floor(s / 86400)} d${hours ? ` ${hours} h` : ''}`;
}

/** Seconds as a countdown: `0:42`, `9:58`, `1:02:03`. */
export function countdown(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
}

/** Bytes as `1.5 GiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A rate with three digits at most: `0`, `0.4`, `12.5`, `1,240`. */
export function rate(value: number): string {
  if (value >= 100) {
    return Math.round(value).toLocaleString('en-US');
  }
  return String(Number(value.toFixed(value >= 10 ? 0 : 1)));
}

/** A long name with its middle left out: both ends tell models apart. */
export function ends(name: string, most = 34): string {
  const letters = Array.from(name);
  if (letters.length <= most) {
    return name;
  }
  const front = Math.ceil((most - 1) / 2);
  return `${letters.slice(0, front).join('')}…${letters.slice(letters.length - (most - 1 - front)).join('')}`;
}

/** The last part of a path. */
export function basename(path: string): string {
  const parts = path.split('/').filter(part => part);
  return parts.length ? parts[parts.length - 1] : path;
}
