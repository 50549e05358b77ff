/** Durations, sizes and rates as text, as the package's plain forms have them. */

export function humanSeconds(seconds: number): string {
  if (seconds < 0.0995) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const padded = (number: number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  const hours = Math.floor(whole / 3600);
  if (hours < 48) return `${hours} h ${padded(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function humanBytes(size: number): string {
  if (size < 1000) return `${Math.round(size)} B`;
  let scaled = size / 1000;
  if (scaled < 999.95) return `${scaled.toFixed(1)} kB`;
  scaled /= 1000;
  return scaled < 999.95 ? `${scaled.toFixed(1)} MB` : `${(scaled / 1000).toFixed(1)} GB`;
}

export function humanRate(rate: number): string {
  return rate < 100 ? String(Number(rate.toPrecision(3))) : Math.round(rate).toLocaleString("en-US");
}
