// What is told beside the graph: of the whole plan, or of one stage.
function html(text) {
  return String(text).replace(/[&<>"]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[letter]);
}
const tile = (name, value, small = "") => value === "" || value === null || value === undefined ? "" : `<div><dt>${name}</dt><dd>${value}${small ? `<small>${html(small)}</small>` : ""}</dd></div>`;
const badge = (word, colour) => `<span class="badge"><i style="background:${colour}"></i>${html(word)}</span>`;

function entries(scene, members, words, most = 40) {
  const shown = members.slice(0, most).map((at) => `<li><a data-stage="${at}" tabindex="0">${html(scene.nodes.label[at])}</a><span>${html(words(at))}</span></li>`);
  if (members.length > most) shown.push(`<li class="soft">and ${counted(members.length - most, "more").replace(/s$/, "")}</li>`);
  return `<ul class="list">${shown.join("")}</ul>`;
}

function overview(scene, legend, mode, state) {
  const { totals, facts } = scene;
  const time = (at) => facts.action[at] === "run" ? duration(facts.wall_s[at]) : facts.action[at] ?? "";
  const chain = facts.critical.flatMap((is, at) => is ? [at] : []);
  const most = Math.max(...legend.map((one) => one.count ?? 0), 1);
  const tiles = totals ? [
    tile("To run", totals.stages_run.toLocaleString("en"), `${totals.stages_reused.toLocaleString("en")} reused`),
    tile("Time", duration(totals.wall_hours * 3600), state ? "planned" : ""),
    totals.gpu_hours >= 0.05 ? tile("GPU-hours", amount(totals.gpu_hours)) : tile("Core time", duration(totals.core_hours * 3600)),
    totals.cost >= 0.5 ? tile("Cost", amount(totals.cost), "as the cluster file counts") : "",
  ] : [];
  return `<h2>${html(scene.cluster ? `On ${scene.cluster}` : scene.name)}</h2>
    <dl class="tiles">${tiles.join("")}</dl>
    ${state?.note ? `<p class="warn">${html(state.note)}</p>` : ""}
    ${(scene.warnings ?? []).map((warning) => `<p class="warn">${html(warning)}</p>`).join("")}
    <h3>${{ kind: "Kinds", action: "Run or reuse", state: "States" }[mode] ?? "Planned of each stage"}</h3>
    <ul class="list${legend[0]?.count ? " bars" : ""}">${legend.map(({ word, colour, count }) => `<li style="--colour:${colour};--share:${100 * (count ?? 0) / most}%"><i class="key" style="background:${colour}"></i>${html(word)}<span>${count?.toLocaleString("en") ?? ""}</span></li>`).join("")}</ul>
    ${chain.length ? `<h3>Longest chain, ${duration(chain.reduce((sum, at) => sum + facts.wall_s[at], 0))}</h3>${entries(scene, chain, time, 200)}` : ""}`;
}

function told(scene, at, detail, state) {
  const { nodes, facts } = scene, label = nodes.label[at], kind = scene.kinds[nodes.kind[at]];
  const live = state?.stages[label];
  const [colour, word] = live ? STATES[live.state] : ACTIONS[facts.action[at] ?? "run"];
  const runs = facts.action[at] === "run" || !facts.action[at];
  const time = (one) => facts.action[one] === "run" ? duration(facts.wall_s[one]) : facts.action[one] ?? "";
  const took = live?.started ? (live.ended ?? state.now) - live.started : null;
  const tiles = [
    took !== null ? tile(live.ended ? "Took" : "Runs for", duration(took), `planned ${duration(facts.wall_s[at])}`) : runs ? tile("Planned time", duration(facts.wall_s[at]), detail?.wall_basis ? `by ${detail.wall_basis}` : "") : "",
    runs && facts.start_s[at] !== null && !live?.started ? tile("Starts after", duration(facts.start_s[at])) : "",
    facts.gpus[at] ? tile("GPUs", facts.gpus[at].toLocaleString("en"), detail?.layout) : "",
    runs && facts.gpu_hours[at] >= 0.05 ? tile("GPU-hours", amount(facts.gpu_hours[at])) : "",
    runs && facts.cost[at] >= 0.5 ? tile("Cost", amount(facts.cost[at])) : "",
    ...(detail?.tiles ?? []).map(([name, value, small]) => tile(html(name), html(value), small)),
    live?.attempts > 1 ? tile("Attempts", live.attempts) : "",
  ];
  const more = (title, text) => text ? `<h3>${title}</h3><div class="more"><pre>${html(text)}</pre><button data-copy>Copy</button></div>` : "";
  return `<div class="top"><h2>${html(label)}</h2><button data-close title="Close (Esc)" aria-label="Close">×</button></div>
    <p>${badge(nodes.kind[at].replaceAll("_", " "), kind.full)} ${badge(word, colour)}${facts.critical[at] ? ` ${badge("longest chain", "var(--critical)")}` : ""}</p>
    ${live?.state === "failed" || live?.state === "blocked" ? `<p class="error">${html(live.message)}</p>` : live?.message ? `<p class="soft">${html(live.message)}</p>` : ""}
    ${facts.reason[at] ? `<p class="soft">${html(`${facts.action[at]}: ${facts.reason[at]}`)}</p>` : ""}
    <dl class="tiles">${tiles.join("")}</dl>
    ${nodes.needs[at].length ? `<h3>Needs</h3>${entries(scene, nodes.needs[at], time)}` : ""}
    ${scene.users[at].length ? `<h3>Needed by</h3>${entries(scene, scene.users[at], time)}` : ""}
    ${detail ? more("Fields", yaml(detail.fields)) + more("Script", detail.script) : "<p class=\"soft\">…</p>"}`;
}
