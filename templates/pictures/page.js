// The page: what is folded, selected, searched for, and in which colours; it tells the drawing, the timeline and the panel.
const $ = (id) => document.getElementById(id);
const scene = JSON.parse($("scene").textContent);
prepare(scene);
const stages = scene.nodes.label.length;
const MODES = [["kind", "by kind"], ["action", "run or reuse"], ["time", "by time"], ["hours", "by GPU-hours"], ["cost", "by cost"], ["state", "by state"]];

const kept = (() => { try { return JSON.parse(sessionStorage.getItem(`rung ${location.pathname}`)) ?? {}; } catch { return {}; } })();
const view = {
  folded: new Set(kept.folded ?? scene.folded), mode: kept.mode ?? (scene.state ? "state" : "kind"), critical: kept.critical ?? false,
  selected: kept.selected ?? null, found: null, tab: kept.tab ?? "graph", state: scene.state ?? null,
};
const dark = matchMedia("(prefers-color-scheme: dark)");
let placed, colours, legend;
const drawing = new Drawing($("graph"), scene);
let timeline = null;

// --- how things look -------------------------------------------------------------------------------------------------

const isOpen = (member) => member >= stages && !view.folded.has(member - stages);
const visible = (at) => scene.paths[at].findLast((one) => placed.boxes.has(one));
const chain = scene.facts.critical.flatMap((is, at) => is ? [at] : []);

function time(at) {
  const action = scene.facts.action[at], live = view.state?.stages[scene.nodes.label[at]];
  if (live && view.mode === "state") {
    const took = live.started ? duration((live.ended ?? view.state.now) - live.started) : "";
    const [, word, mark] = STATES[live.state];
    return [`${mark} ${word}`.trim(), live.progress || took].filter(Boolean).join(" · ");
  }
  return action === "run" ? duration(scene.facts.wall_s[at]) : action ?? "";
}

function words(member) {
  if (member < stages) {
    const kind = scene.nodes.kind[member].replaceAll("_", " "), second = time(member);
    return { title: scene.nodes.name[member], subtitle: view.mode === "state" && second ? second : [kind, second].filter(Boolean).join(" · ") };
  }
  const frame = scene.frames[member - stages], inside = scene.inside[member - stages];
  if (isOpen(member)) return { title: frame.title };
  const parts = [counted(inside.length, "stage")];
  if (frame.rounds) parts.push(counted(frame.rounds, "round"));
  if (view.state && view.mode === "state") {
    const done = inside.filter((at) => ["done", "reused"].includes(view.state.stages[scene.nodes.label[at]]?.state)).length;
    parts.splice(0, 2, `${done} of ${inside.length} done`);
  } else {
    const sum = inside.reduce((total, at) => total + (scene.facts.action[at] === "run" ? scene.facts.wall_s[at] : 0), 0);
    if (sum) parts.push(duration(sum));
  }
  return { title: `▸ ${frame.title}`, subtitle: parts.join(" · ") };
}

// Of a folded frame: the colour of most of what is inside; of states, the one that a person must know of first.
function colourOf(member) {
  if (member < stages) return colours[member];
  const inside = scene.inside[member - stages];
  if (view.mode === "state") {
    const found = new Set(inside.map((at) => view.state.stages[scene.nodes.label[at]]?.state ?? "waiting"));
    const first = ["failed", "blocked", "cancelled", "running", "queued", "waiting", "done", "reused"].find((one) => found.has(one));
    return STATES[first][0];
  }
  if (MEASURES[view.mode]) return colours[inside.reduce((best, at) => (scene.facts[MEASURES[view.mode][0]][at] ?? 0) > (scene.facts[MEASURES[view.mode][0]][best] ?? 0) ? at : best, inside[0])];
  const counts = new Map();
  for (const at of inside) counts.set(colours[at], (counts.get(colours[at]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}

// The colours inside a folded frame and their shares, the most first.
function partsOf(member, colour) {
  if (member < stages || MEASURES[view.mode]) return [[colour, 1]];
  const inside = scene.inside[member - stages], counts = new Map();
  for (const at of inside) counts.set(colours[at], (counts.get(colours[at]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([one, count]) => [one, count / inside.length]);
}

function look() {
  const { theme } = drawing;
  const near = view.selected === null ? null : new Set([view.selected, ...scene.nodes.needs[view.selected], ...scene.users[view.selected]].map(visible));
  const chosen = view.selected === null ? null : visible(view.selected);
  const found = view.found && new Set(view.found.map(visible));
  const critical = view.critical ? new Set(chain.map(visible)) : null;
  const pairs = new Set(view.critical ? chain.slice(1).map((at, one) => `${visible(chain[one])}>${visible(at)}`) : []);
  return {
    isOpen, words,
    card(member) {
      const reused = member < stages && ["reuse", "skip"].includes(scene.facts.action[member]) && !view.state;
      let alpha = reused ? 0.55 : 1;
      if (found && !found.has(member)) alpha = 0.16;
      else if (near && !near.has(member)) alpha = Math.min(alpha, 0.35);
      const edge = member === chosen ? theme.accent : critical?.has(member) ? theme.critical : found?.has(member) ? theme.accent : null;
      const colour = colourOf(member);
      return { colour, parts: partsOf(member, colour), alpha, edge, tint: view.mode === "kind" ? 0 : dark.matches ? 0.3 : 0.18 };
    },
    arrow({ source, target }) {
      if (chosen !== null && (source === chosen || target === chosen)) return { colour: theme.accent, width: 2.4, alpha: 1, order: 3 };
      if (pairs.has(`${source}>${target}`)) return { colour: theme.critical, width: 2.6, alpha: 1, order: 2 };
      return { colour: theme.arrow, width: 1.2, alpha: chosen !== null || found ? 0.3 : 1, order: 0 };
    },
  };
}

// --- drawing again -----------------------------------------------------------------------------------------------------

function recolour() {
  ({ colours, legend } = colouring(scene, view.mode, view.state));
}

function redraw() {
  drawing.draw(placed, look());
  timeline?.draw(colours, view.state, view.critical);
  show();
  keep();
}

function keep() {
  const { x, y } = drawing;
  const { folded, mode, critical, selected, tab } = view;
  try {
    sessionStorage.setItem(`rung ${location.pathname}`, JSON.stringify({ folded: [...folded], mode, critical, selected, tab, left: x.start, top: y.end, scale: drawing.scale, size: stages }));
  } catch { /* a page that may store nothing opens anew each time */ }
}

// Places everything again; `anchor` stays where it is on the screen.
function replace(anchor = null) {
  const before = anchor === null ? null : placed.boxes.get(anchor);
  const { scale } = drawing, left = drawing.x.start, top = drawing.y.end;
  placed = place(scene, view.folded);
  drawing.placed = placed;
  const after = anchor === null ? null : placed.boxes.get(anchor);
  redraw();
  if (before && after) drawing.view(left + after.x - before.x, top + after.y - before.y, scale);
}

function toggle(member) {
  const frame = member - stages;
  if (view.folded.has(frame)) view.folded.delete(frame); else view.folded.add(frame);
  replace(member);
}

function foldAll(fold) {
  view.folded = new Set(fold ? scene.frames.map((_, at) => at).slice(1) : []);
  replace();
  drawing.fit();
}

function reveal(at) {
  let hidden = false;
  for (const one of scene.paths[at]) if (one >= stages && view.folded.delete(one - stages)) hidden = true;
  view.selected = at;
  if (hidden) replace(); else redraw();
  if (view.tab === "graph") drawing.centre(at);
}

// --- the panel -----------------------------------------------------------------------------------------------------------

const unpacked = new Map();
async function detail(at) {
  const chunk = Math.floor(at / CHUNK);
  if (!unpacked.has(chunk)) {
    const element = document.querySelectorAll("script.details")[chunk];
    if (!element) return null;
    const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
    unpacked.set(chunk, new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json());
  }
  return (await unpacked.get(chunk))[at % CHUNK];
}

let telling = null;
async function show() {
  const panel = $("panel"), at = view.selected;
  $("summary").textContent = summary();
  if (at === null) { telling = null; panel.innerHTML = overview(scene, legend, view.mode, view.state); return; }
  if (telling !== at) { panel.innerHTML = told(scene, at, null, view.state); panel.scrollTop = 0; }
  telling = at;
  const found = await detail(at);
  if (view.selected === at) { const { scrollTop } = panel; panel.innerHTML = told(scene, at, found, view.state); panel.scrollTop = scrollTop; }
}

function summary() {
  const { totals } = scene;
  if (view.state) {
    const states = Object.values(view.state.stages).map((stage) => stage.state);
    const done = states.filter((one) => one === "done" || one === "reused").length, wrong = states.filter((one) => one === "failed").length;
    $("state").hidden = false;
    $("state").textContent = view.state.state;
    $("progress").hidden = false;
    $("progress").firstElementChild.style.width = `${100 * done / states.length}%`;
    return `${view.state.run}: ${done} of ${counted(states.length, "stage")} done${wrong ? `, ${wrong} failed` : ""}`;
  }
  if (!totals) return counted(stages, "stage");
  const parts = [`${totals.stages_run.toLocaleString("en")} to run, ${totals.stages_reused.toLocaleString("en")} reused`];
  if (totals.stages_run) parts.push(`about ${duration(totals.wall_hours * 3600)}`);
  if (totals.gpu_hours >= 0.05) parts.push(`${amount(totals.gpu_hours)} GPU-hours`);
  if (totals.cost >= 0.5) parts.push(`cost ${amount(totals.cost)}`);
  return parts.join(" · ");
}

$("panel").addEventListener("click", (event) => {
  const link = event.target.closest("[data-stage]");
  if (link) reveal(Number(link.dataset.stage));
  else if (event.target.closest("[data-close]")) select(null);
  else if (event.target.closest("[data-copy]")) navigator.clipboard?.writeText(event.target.previousElementSibling.textContent);
});
$("panel").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.dataset.stage) reveal(Number(event.target.dataset.stage)); });

function select(at) {
  view.selected = at;
  redraw();
}

// --- pointing ------------------------------------------------------------------------------------------------------------

let pressed = null;
$("graph").addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; $("tip").hidden = true; }, true);
$("graph").addEventListener("pointerup", (event) => {
  if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 4) { pressed = null; keep(); return; }
  pressed = null;
  const member = drawing.hit(event);
  if (member === null) { if (view.selected !== null) select(null); } else if (member >= stages) toggle(member); else select(member);
}, true);
function point(event, member, element) {
  const tip = $("tip");
  element.classList.toggle("pointing", member !== null);
  tip.hidden = member === null || event.buttons > 0;
  if (tip.hidden) return;
  const { subtitle = "" } = words(member), label = member < stages ? scene.nodes.label[member] : scene.frames[member - stages].title;
  const hint = member < stages ? [scene.nodes.kind[member].replaceAll("_", " "), time(member), scene.facts.reason[member]].filter(Boolean).join(" · ") : isOpen(member) ? "click to fold" : `${subtitle}; click to unfold`;
  tip.innerHTML = `<b>${html(label)}</b><span>${html(hint)}</span>`;
  const room = element.getBoundingClientRect(), x = event.clientX - room.left, y = event.clientY - room.top;
  tip.style.left = `${Math.min(x + 14, room.width - tip.offsetWidth - 8)}px`;
  tip.style.top = `${y + 20 + tip.offsetHeight > room.height ? y - tip.offsetHeight - 10 : y + 18}px`;
}
$("graph").addEventListener("pointermove", (event) => point(event, drawing.hit(event), $("graph")), true);
for (const id of ["graph", "timeline"]) $(id).addEventListener("pointerleave", () => { $("tip").hidden = true; });

// --- the bar above ---------------------------------------------------------------------------------------------------------

const has = { kind: true, action: scene.facts.action.some(Boolean), time: scene.facts.wall_s.some(Boolean), hours: scene.facts.gpu_hours.some((value) => value >= 0.05), cost: scene.facts.cost.some((value) => value >= 0.5), state: !!scene.state };
for (const [mode, text] of MODES) if (has[mode]) $("colour").add(new Option(text, mode));
$("colour").value = view.mode;
$("colour").addEventListener("change", () => { view.mode = $("colour").value; recolour(); redraw(); });
$("critical").checked = view.critical;
$("critical").disabled = !chain.length;
$("critical").addEventListener("change", () => { view.critical = $("critical").checked; redraw(); });
$("fold").addEventListener("click", () => foldAll(true));
$("unfold").addEventListener("click", () => foldAll(false));
$("fit").addEventListener("click", () => view.tab === "graph" ? drawing.fit() : timeline.fit());

function turn(tab) {
  view.tab = tab;
  for (const one of ["graph", "timeline"]) { $(one).hidden = one !== tab; $(`tab-${one}`).setAttribute("aria-selected", String(one === tab)); }
  if (tab === "timeline" && !timeline) {
    timeline = new Timeline($("timeline"), scene);
    timeline.draw(colours, view.state, view.critical);
    let down = null;
    $("timeline").addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; }, true);
    $("timeline").addEventListener("pointerup", (event) => {
      if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4) select(timeline.at(event));
    }, true);
    $("timeline").addEventListener("pointermove", (event) => point(event, timeline.at(event), $("timeline")), true);
  }
  keep();
}
for (const tab of ["graph", "timeline"]) $(`tab-${tab}`).addEventListener("click", () => turn(tab));

let marked = 0;
function search() {
  const text = $("search").value.trim().toLowerCase(), list = $("found");
  const terms = text.split(/\s+/).filter(Boolean);
  view.found = terms.length ? scene.nodes.label.flatMap((label, at) => terms.every((term) => label.toLowerCase().includes(term) || scene.nodes.kind[at].includes(term)) ? [at] : []) : null;
  marked = 0;
  list.hidden = !view.found;
  list.innerHTML = !view.found ? "" : view.found.length ? view.found.slice(0, 50).map((at, one) => `<li data-at="${at}" aria-selected="${one === 0}"><b>${html(scene.nodes.label[at])}</b><span>${html(scene.nodes.kind[at].replaceAll("_", " "))}</span></li>`).join("") + (view.found.length > 50 ? `<li class="none">and ${(view.found.length - 50).toLocaleString("en")} more</li>` : "") : `<li class="none">no stage is called so</li>`;
  redraw();
}
function pick(at) {
  $("found").hidden = true;
  view.found = null;
  $("search").blur();
  reveal(at);
}
let typed = null;
function searchNow() {
  clearTimeout(typed);
  typed = null;
  search();
}
$("search").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(searchNow, stages > 2000 ? 120 : 0); });
$("search").addEventListener("keydown", (event) => {
  // Who types and goes on at once means what was typed, not what was found before.
  if (typed !== null && ["Enter", "ArrowDown", "ArrowUp"].includes(event.key)) searchNow();
  const items = [...$("found").querySelectorAll("[data-at]")];
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    marked = Math.max(0, Math.min(items.length - 1, marked + (event.key === "ArrowDown" ? 1 : -1)));
    items.forEach((item, one) => item.setAttribute("aria-selected", String(one === marked)));
    items[marked]?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && items[marked]) pick(Number(items[marked].dataset.at));
  else if (event.key === "Escape") { $("search").value = ""; searchNow(); $("search").blur(); }
});
$("found").addEventListener("click", (event) => { const item = event.target.closest("[data-at]"); if (item) pick(Number(item.dataset.at)); });
addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  if (event.key === "/") { event.preventDefault(); $("search").focus(); }
  else if (event.key === "f") $("fit").click();
  else if (event.key === "Escape" && view.selected !== null) select(null);
});

// --- light and dark, and a run that goes on ---------------------------------------------------------------------------------

dark.addEventListener("change", () => { drawing.paint(); timeline?.paint(); redraw(); });

const ENDED = ["done", "failed", "cancelled"];
if (scene.live && !ENDED.includes(scene.state.state)) {
  if (scene.live.url) {
    const ask = setInterval(async () => {
      try {
        view.state = await (await fetch(scene.live.url, { cache: "no-store" })).json();
      } catch { return; /* the server has ended; the last state stays */ }
      recolour();
      redraw();
      if (ENDED.includes(view.state.state)) clearInterval(ask);
    }, 1000 * scene.live.every_s);
  } else setTimeout(() => { keep(); location.reload(); }, 1000 * scene.live.every_s);
}

// --- begin ---------------------------------------------------------------------------------------------------------------------

placed = place(scene, view.folded);
recolour();
drawing.placed = placed;
drawing.onMoved = keep;
if (kept.scale && kept.size === stages) drawing.view(kept.left, kept.top, kept.scale); else drawing.begin();
redraw();
turn(view.tab);
drawing.shown.then(() => requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); })));
globalThis.rung = { scene, view, drawing, place: (folded) => place(scene, folded), get placed() { return placed; }, get timeline() { return timeline; } };
