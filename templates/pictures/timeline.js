// Stages over time, drawn by Bokeh: what was planned as outlines, what happened as bars.
const ROW = 22;

class Timeline {
  constructor(element, scene) {
    this.element = element;
    this.scene = scene;
    this.x = new Bokeh.Range1d({ start: 0, end: 1 });
    this.y = new Bokeh.Range1d({ start: 1, end: 0 });
    const empty = (...names) => new Bokeh.ColumnDataSource({ data: Object.fromEntries(names.map((name) => [name, []])) });
    this.sources = {
      planned: empty("left", "right", "x", "width", "y", "line", "fill"), real: empty("left", "right", "x", "width", "y", "colour"),
      labels: empty("x", "y", "text"), now: empty("x0", "x1", "y0", "y1"), lanes: empty("y"),
    };
    const plot = this.plot = Bokeh.Plotting.figure({
      x_range: this.x, y_range: this.y, tools: "pan", toolbar_location: null, sizing_mode: "stretch_both", min_border_left: 18,
      min_border_right: 18, outline_line_color: null, x_axis_location: "above", lod_threshold: null,
    });
    // Rectangles, as bars that lie outside would be drawn as slivers at the edge.
    const bar = { x: { field: "x" }, width: { field: "width" }, y: { field: "y" } };
    this.glyphs = {
      planned: plot.rect({ ...bar, height: 0.62, source: this.sources.planned, fill_color: { field: "fill" }, line_color: { field: "line" }, line_dash: "dashed", border_radius: 3 }),
      real: plot.rect({ ...bar, height: 0.4, source: this.sources.real, fill_color: { field: "colour" }, line_color: null, border_radius: 3 }),
      now: plot.segment({ x0: { field: "x0" }, x1: { field: "x1" }, y0: { field: "y0" }, y1: { field: "y1" }, source: this.sources.now, line_width: 1.5 }),
      labels: plot.text({ x: { field: "x" }, y: { field: "y" }, text: { field: "text" }, source: this.sources.labels, text_font: FONT, text_baseline: "middle", text_font_size: "12px", x_offset: 7 }),
    };
    plot.yaxis.visible = false;
    plot.ygrid.visible = false;
    this.paint();
    this.shown = Bokeh.Plotting.show(plot, element);
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false, capture: true });
    for (const range of [this.x, this.y]) range.change.connect(() => { clearTimeout(this.later); this.later = setTimeout(() => this.write(), 40); });
  }

  paint() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.theme = { paper: colour("paper"), ink: colour("ink"), soft: colour("soft"), line: colour("line"), critical: colour("critical") };
    const { plot, theme } = this;
    plot.setv({ background_fill_color: theme.paper, border_fill_color: theme.paper });
    for (const axis of plot.xaxis) axis.setv({ axis_line_color: theme.line, major_tick_line_color: theme.line, minor_tick_line_color: null, major_label_text_color: theme.soft, axis_label_text_color: theme.soft, axis_label_text_font_style: "normal", major_label_text_font: FONT, axis_label_text_font: FONT, major_label_text_font_size: "12px", axis_label_text_font_size: "12px" });
    for (const grid of plot.xgrid) grid.grid_line_color = theme.line;
    this.glyphs.labels.glyph.text_color = { value: theme.ink };
    this.glyphs.now.glyph.line_color = { value: theme.critical };
  }

  // A row for each stage that runs, in the order of starts: of real ones where there are any, else of planned ones.
  draw(colours, state, critical) {
    const { nodes, facts } = this.scene, now = state?.now;
    const began = Math.min(...Object.values(state?.stages ?? {}).map((stage) => stage.started ?? Infinity));
    this.rows = [];
    nodes.label.forEach((label, at) => {
      const told = state?.stages[label];
      if (facts.action[at] !== "run") return;
      const planned = facts.start_s[at] === null ? null : [facts.start_s[at], facts.start_s[at] + facts.wall_s[at]];
      const real = told?.started ? [told.started - began, (told.ended ?? now) - began] : null;
      this.rows.push({ at, label, planned, real, state: told?.state });
    });
    this.rows.sort((a, b) => (a.real?.[0] ?? Infinity) - (b.real?.[0] ?? Infinity) || (a.planned?.[0] ?? 0) - (b.planned?.[0] ?? 0) || a.at - b.at);
    this.last = Math.max(1e-9, ...this.rows.map((row) => Math.max(row.planned?.[1] ?? 0, row.real?.[1] ?? 0)));
    [this.unit, this.word] = [[1, "seconds"], [60, "minutes"], [3600, "hours"], [86400, "days"]].findLast(([size]) => this.last >= 2.5 * size) ?? [1, "seconds"];
    for (const axis of this.plot.xaxis) axis.axis_label = `${this.word} since the start${state ? "; outlined: as planned" : ", as planned"}`;
    const planned = { left: [], right: [], y: [], line: [], fill: [] }, real = { left: [], right: [], y: [], colour: [] };
    this.rows.forEach((row, y) => {
      const colour = colours[row.at];
      if (row.planned) {
        planned.left.push(row.planned[0] / this.unit); planned.right.push(row.planned[1] / this.unit); planned.y.push(y);
        planned.line.push(state ? this.theme.soft : critical && facts.critical[row.at] ? this.theme.critical : colour);
        planned.fill.push(state ? "rgba(128,128,128,0.10)" : colour);
      }
      if (row.real) { real.left.push(row.real[0] / this.unit); real.right.push(row.real[1] / this.unit); real.y.push(y); real.colour.push(colour); }
    });
    for (const bars of [planned, real]) {
      bars.x = bars.left.map((left, at) => (left + bars.right[at]) / 2);
      bars.width = bars.left.map((left, at) => bars.right[at] - left);
    }
    this.sources.planned.data = planned;
    this.sources.real.data = real;
    this.glyphs.planned.glyph.line_dash = { value: state ? "dashed" : "solid" };
    const end = state && Number.isFinite(began) && state.state === "running" ? (now - began) / this.unit : null;
    this.sources.now.data = end === null ? { x0: [], x1: [], y0: [], y1: [] } : { x0: [end], x1: [end], y0: [-1], y1: [this.rows.length] };
    if (!this.placed) this.fit();
    this.write();
  }

  fit() {
    const height = this.element.clientHeight - 44;
    if (height <= 0) return;
    this.placed = true;
    const rows = Math.max(12, Math.min(this.rows.length + 1, height / ROW));
    this.x.setv({ start: -0.01 * this.last / this.unit, end: 1.22 * this.last / this.unit });
    this.y.setv({ start: rows - 0.5, end: -0.8 });
  }

  // Names beside the bars, where rows are high enough to read them.
  write() {
    const found = { x: [], y: [], text: [] }, height = this.element.clientHeight - 44, shown = this.y.start - this.y.end;
    if (height / shown >= 11) {
      const from = Math.max(0, Math.floor(this.y.end)), to = Math.min(this.rows.length, Math.ceil(this.y.start) + 1);
      for (let y = from; y < to; y++) {
        const row = this.rows[y];
        found.x.push(Math.max(row.planned?.[1] ?? 0, row.real?.[1] ?? 0) / this.unit); found.y.push(y);
        const ratio = row.real && row.planned && row.state === "done" ? `   ${duration(row.real[1] - row.real[0])}, planned ${duration(row.planned[1] - row.planned[0])}` : row.planned ? `   ${duration(row.planned[1] - row.planned[0])}` : "";
        found.text.push(`${row.label}${ratio}`);
      }
    }
    this.sources.labels.data = found;
  }

  // The wheel goes up and down; with Ctrl or Shift it widens and narrows time.
  wheel(event) {
    event.preventDefault();
    event.stopPropagation();
    if (event.ctrlKey || event.shiftKey) {
      const { left } = this.element.getBoundingClientRect();
      const at = this.x.start + (this.x.end - this.x.start) * (event.clientX - left) / this.element.clientWidth;
      const by = Math.exp((event.deltaY || event.deltaX) / 400);
      this.x.setv({ start: at + (this.x.start - at) * by, end: at + (this.x.end - at) * by });
      return;
    }
    const by = event.deltaY / ROW, room = this.rows.length + 1 - (this.y.start - this.y.end);
    const end = Math.max(-0.8, Math.min(this.y.end + by, Math.max(-0.8, room)));
    this.y.setv({ start: end + this.y.start - this.y.end, end });
  }

  // The stage whose row is under the pointer.
  at(event) {
    const { top } = this.element.getBoundingClientRect(), height = this.plot.inner_height || this.element.clientHeight - 44;
    const from = this.element.clientHeight - height, y = event.clientY - top - from;
    if (y < 0) return null;
    return this.rows[Math.round(this.y.end + y / height * (this.y.start - this.y.end))]?.at ?? null;
  }
}
