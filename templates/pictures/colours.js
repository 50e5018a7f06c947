// What a colour means: the kind of a stage, what it takes, what happens to it. All hues are told apart without red and green.
const ACTIONS = { run: ["#0072b2", "runs"], reuse: ["#009e73", "reused"], skip: ["#9aa1a9", "not needed"] };
const STATES = {
  done: ["#009e73", "done", "✓"], reused: ["#66c2a5", "reused", "✓"], running: ["#0072b2", "running", "▶"], queued: ["#56b4e9", "queued", "…"],
  waiting: ["#9aa1a9", "waiting", ""], failed: ["#d55e00", "failed", "✕"], blocked: ["#b8860b", "blocked", "■"], cancelled: ["#cc79a7", "cancelled", "■"],
};
const MEASURES = { time: ["wall_s", "time", duration], hours: ["gpu_hours", "GPU-hours", amount], cost: ["cost", "cost", amount] };
const SCALE = ["#00204c", "#213d6b", "#555b6c", "#7b7a77", "#a59c74", "#d3c064", "#ffe945"]; // cividis

function mix(hex, other, share) {
  const parse = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const a = parse(hex), b = parse(other);
  return `#${a.map((one, at) => Math.round(one * share + b[at] * (1 - share)).toString(16).padStart(2, "0")).join("")}`;
}

// How to colour by `mode`: a colour for each stage, and the legend.
function colouring(scene, mode, state) {
  const { nodes, facts } = scene;
  const counts = new Map();
  const note = (word, colour) => { counts.set(word, { colour, count: (counts.get(word)?.count ?? 0) + 1 }); return colour; };
  const legend = () => [...counts].map(([word, { colour, count }]) => ({ word, colour, count }));
  if (mode === "state") {
    const colours = nodes.label.map((label) => { const [colour, word] = STATES[state.stages[label]?.state ?? "waiting"]; return note(word, colour); });
    return { colours, legend: legend() };
  }
  if (mode === "action") {
    const colours = facts.action.map((action) => { const [colour, word] = ACTIONS[action ?? "run"]; return note(word, colour); });
    return { colours, legend: legend() };
  }
  if (MEASURES[mode]) {
    const [name, , words] = MEASURES[mode];
    const values = facts[name].map((value, at) => facts.action[at] === "run" ? value || 0 : 0);
    const found = values.filter((value) => value > 0);
    const high = Math.log(Math.max(...found, 1e-9)), low = Math.max(Math.log(Math.min(...found, 1e9)), high - Math.log(1e5));
    const shade = (value) => {
      const at = (high > low ? Math.min(1, Math.max(0, (Math.log(value) - low) / (high - low))) : 1) * (SCALE.length - 1);
      const one = Math.min(SCALE.length - 2, Math.floor(at));
      return mix(SCALE[one + 1], SCALE[one], at - one);
    };
    const steps = found.length ? [0, 0.25, 0.5, 0.75, 1].map((share) => Math.exp(low + share * (high - low))) : [];
    return {
      colours: values.map((value) => value > 0 ? shade(value) : "#9aa1a9"),
      legend: steps.map((value) => ({ word: words(value), colour: shade(value) })),
    };
  }
  const colours = nodes.kind.map((kind) => note(scene.kinds[kind].meaning, scene.kinds[kind].full));
  return { colours, legend: legend() };
}
