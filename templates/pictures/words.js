// Numbers and durations as a person reads them, as compiler/words.py writes them.
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), two = (value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole % 86400 / 3600)} h`;
}
function amount(number) {
  for (const [size, suffix] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    if (number >= size) return `${+(number / (suffix === "k" ? 1e3 : size)).toPrecision(3)}${suffix}`;
  }
  return number >= 100 ? Math.round(number).toLocaleString("en") : String(+Number(number).toPrecision(3));
}
const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// A value as YAML writes it: enough for records of strings, numbers, lists and mappings.
function yaml(value, indent = "") {
  const plain = (one) => one === null ? "null" : typeof one === "string"
    ? (/^[\w./@${}-][\w ./@${}%+-]*$/.test(one) && !/^(true|false|null|[\d.+-][\d.e+-]*)$/i.test(one) ? one : JSON.stringify(one)) : String(one);
  const isFlat = (one) => one === null || typeof one !== "object" || !Object.keys(one).length;
  const flat = (one) => one !== null && typeof one === "object" ? (Array.isArray(one) ? "[]" : "{}") : plain(one);
  if (isFlat(value)) return flat(value);
  const short = (one) => !isFlat(one) && Object.values(one).every(isFlat) && JSON.stringify(one).length < 44;
  const inline = (one) => Array.isArray(one) ? `[${one.map(flat).join(", ")}]` : `{${Object.entries(one).map(([key, inner]) => `${key}: ${flat(inner)}`).join(", ")}}`;
  const below = (one) => isFlat(one) ? ` ${flat(one)}` : short(one) ? ` ${inline(one)}` : null;
  if (Array.isArray(value)) return value.map((one) => `${indent}-${below(one) ?? ` ${yaml(one, `${indent}  `).trimStart()}`}`).join("\n");
  return Object.entries(value).map(([key, one]) => `${indent}${key}:${below(one) ?? `\n${yaml(one, `${indent}  `)}`}`).join("\n");
}
