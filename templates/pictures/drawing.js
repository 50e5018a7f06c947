// The graph: boxes, frames and arrows, drawn by Bokeh. It knows what is where and in which colour, and nothing else.
const CURVE = 8, TITLE = 13.5, SUBTITLE = 11.5, FONT = getComputedStyle(document.body).fontFamily;

class Drawing {
  constructor(element, scene) {
    this.element = element;
    this.scene = scene;
    this.stages = scene.nodes.label.length;
    this.x = new Bokeh.Range1d({ start: 0, end: 1 });
    this.y = new Bokeh.Range1d({ start: 1, end: 0 });
    const empty = (...names) => new Bokeh.ColumnDataSource({ data: Object.fromEntries(names.map((name) => [name, []])) });
    this.sources = {
      frames: empty("x", "y", "width", "height", "line"),
      lines: empty("xs", "ys", "colour", "width", "alpha"),
      heads: empty("x", "y", "colour", "alpha"),
      stacks: empty("x", "y", "width", "height", "alpha"),
      cards: empty("x", "y", "width", "height", "fill", "line", "weight", "alpha"),
      stripes: empty("x", "y", "height", "colour", "alpha"),
      titles: empty("x", "y", "text", "alpha"),
      subtitles: empty("x", "y", "text", "alpha"),
      names: empty("x", "y", "text"),
    };
    const plot = this.plot = Bokeh.Plotting.figure({
      x_range: this.x, y_range: this.y, tools: "pan,wheel_zoom", active_scroll: "wheel_zoom", toolbar_location: null,
      sizing_mode: "stretch_both", min_border: 0, outline_line_color: null, lod_threshold: null,
    });
    plot.axis.visible = false;
    plot.grid.visible = false;
    const { sources } = this;
    const box = { x: { field: "x" }, y: { field: "y" }, width: { field: "width" }, height: { field: "height" } };
    const text = (source, style, size, options = {}) => plot.text({
      x: { field: "x" }, y: { field: "y" }, text: { field: "text" }, source, text_font: FONT, text_font_style: style,
      text_font_size: `${size}px`, text_baseline: "middle", ...options,
    });
    this.glyphs = {
      frames: plot.rect({ ...box, source: sources.frames, line_color: { field: "line" }, border_radius: 10 }),
      lines: plot.multi_line({
        xs: { field: "xs" }, ys: { field: "ys" }, source: sources.lines, line_color: { field: "colour" },
        line_width: { field: "width" }, line_alpha: { field: "alpha" }, line_join: "round",
      }),
      heads: plot.scatter({
        x: { field: "x" }, y: { field: "y" }, source: sources.heads, marker: "triangle", angle: Math.PI, size: 6,
        fill_color: { field: "colour" }, fill_alpha: { field: "alpha" }, line_color: null,
      }),
      stacks: plot.rect({ ...box, source: sources.stacks, fill_alpha: { field: "alpha" }, line_alpha: { field: "alpha" }, border_radius: 7 }),
      cards: plot.rect({
        ...box, source: sources.cards, fill_color: { field: "fill" }, line_color: { field: "line" }, line_width: { field: "weight" },
        fill_alpha: { field: "alpha" }, line_alpha: { field: "alpha" }, border_radius: 7,
      }),
      stripes: plot.rect({
        x: { field: "x" }, y: { field: "y" }, width: 4, height: { field: "height" }, source: sources.stripes,
        fill_color: { field: "colour" }, fill_alpha: { field: "alpha" }, line_color: null,
      }),
      titles: text(sources.titles, "bold", TITLE, { text_alpha: { field: "alpha" } }),
      subtitles: text(sources.subtitles, "normal", SUBTITLE, { text_alpha: { field: "alpha" } }),
      names: text(sources.names, "bold", 13),
    };
    this.pen = document.createElement("canvas").getContext("2d");
    this.cut = new Map();
    this.paint();
    this.shown = Bokeh.Plotting.show(plot, element);
    const moved = () => this.moved();
    for (const range of [this.x, this.y]) range.change.connect(moved);
    new ResizeObserver(() => this.resized()).observe(element);
    this.width = element.clientWidth;
    this.height = element.clientHeight;
  }

  get scale() { return this.width / (this.x.end - this.x.start); }

  // Colours that follow light and dark.
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.theme = Object.fromEntries(["paper", "card", "ink", "soft", "line", "arrow", "frame", "fill", "critical", "accent"].map((name) => [name, colour(name)]));
    const { plot, glyphs, theme } = this;
    plot.setv({ background_fill_color: theme.paper, border_fill_color: theme.paper });
    glyphs.frames.glyph.fill_color = { value: theme.fill };
    glyphs.stacks.glyph.setv({ fill_color: { value: theme.card }, line_color: { value: theme.frame } });
    glyphs.titles.glyph.text_color = { value: theme.ink };
    glyphs.subtitles.glyph.text_color = { value: theme.soft };
    glyphs.names.glyph.text_color = { value: theme.soft };
  }

  // `look` tells of each member: title, subtitle, colour, alpha, whether it is emphasized; and of each arrow.
  draw(placed, look) {
    this.placed = placed;
    this.look = look;
    const frames = { x: [], y: [], width: [], height: [], line: [] };
    const cards = { x: [], y: [], width: [], height: [], fill: [], line: [], weight: [], alpha: [] };
    const stacks = { x: [], y: [], width: [], height: [], alpha: [] };
    const stripes = { x: [], y: [], height: [], colour: [], alpha: [] };
    this.open = [];
    this.cards = [];
    const solid = this.solid = this.scale < 0.3;
    for (const [member, { x, y, width, height }] of placed.boxes) {
      const put = (into, dx = 0, dy = 0) => {
        into.x.push(x + width / 2 + dx); into.y.push(y + height / 2 + dy); into.width.push(width); into.height.push(height);
      };
      if (look.isOpen(member)) {
        put(frames);
        frames.line.push(this.theme.frame);
        this.open.push({ member, x, y, width, height });
        continue;
      }
      const { colour, parts, alpha, edge, tint } = look.card(member);
      if (member >= this.stages) for (const by of [6, 3]) { put(stacks, by, by); stacks.alpha.push(alpha); }
      put(cards);
      cards.fill.push(solid ? colour : tint ? mix(colour, this.theme.card, tint) : this.theme.card);
      cards.line.push(edge ?? (solid ? colour : member >= this.stages ? this.theme.frame : this.theme.line));
      cards.weight.push(edge ? 2.2 : solid ? 0.3 : 1);
      cards.alpha.push(alpha);
      let top = y + 7.5;
      for (const [part, share] of parts) {
        const tall = share * (height - 15);
        stripes.x.push(x + 8); stripes.y.push(top + tall / 2); stripes.height.push(tall); stripes.colour.push(part); stripes.alpha.push(alpha);
        top += tall;
      }
      this.cards.push({ member, x, y, width, height, alpha });
    }
    this.sources.frames.data = frames;
    this.sources.stacks.data = stacks;
    this.sources.cards.data = cards;
    this.sources.stripes.data = stripes;
    this.drawLines();
    this.write();
  }

  drawLines() {
    const lines = { xs: [], ys: [], colour: [], width: [], alpha: [] };
    const heads = { x: [], y: [], colour: [], alpha: [] };
    // From afar boxes tell more than what joins them.
    const thin = Math.min(1, Math.max(0.25, 3 * this.scale));
    const ordered = this.placed.lines.map((line) => [line, this.look.arrow(line)]).sort((a, b) => a[1].order - b[1].order);
    for (const [line, { colour, width, alpha }] of ordered) {
      line.curve ??= curve(line.points);
      lines.xs.push(line.curve[0]); lines.ys.push(line.curve[1]);
      lines.colour.push(colour); lines.width.push(width * thin); lines.alpha.push(alpha);
      const [x, y] = line.points[line.points.length - 1];
      heads.x.push(x); heads.y.push(y - 3); heads.colour.push(colour); heads.alpha.push(alpha);
    }
    this.sources.lines.data = lines;
    this.sources.heads.data = heads;
  }

  // The words that can be read at this scale, of what is in sight.
  write() {
    const { scale, glyphs, sources, theme } = this;
    const legible = scale * TITLE >= 5.5;
    glyphs.titles.visible = glyphs.subtitles.visible = legible;
    glyphs.stripes.visible = !this.solid;
    glyphs.heads.visible = scale > 0.3;
    glyphs.heads.glyph.size = { value: Math.min(9, Math.max(4, 7 * scale)) };
    const left = this.x.start - 220, right = this.x.end + 220, top = this.y.end - 80, bottom = this.y.start + 80;
    const seen = ({ x, y, width, height }) => x + width > left && x < right && y + height > top && y < bottom;
    if (legible) {
      const titles = { x: [], y: [], text: [], alpha: [] }, subtitles = { x: [], y: [], text: [], alpha: [] };
      for (const card of this.cards) {
        if (!seen(card)) continue;
        const { title, subtitle } = this.look.words(card.member), middle = card.y + card.height / 2;
        titles.x.push(card.x + 17); titles.y.push(middle - 8); titles.text.push(this.fitted(title, card.width - 26, TITLE, "bold"));
        subtitles.x.push(card.x + 17); subtitles.y.push(middle + 9); subtitles.text.push(this.fitted(subtitle, card.width - 26, SUBTITLE, "normal"));
        titles.alpha.push(card.alpha); subtitles.alpha.push(card.alpha);
      }
      sources.titles.data = titles;
      sources.subtitles.data = subtitles;
    }
    const names = { x: [], y: [], text: [] };
    const size = Math.max(13 * scale, 11);
    for (const frame of this.open) {
      const { title } = this.look.words(frame.member);
      if (seen(frame) && frame.width * scale > title.length * size * 0.62 + 12 && this.scene.sizes.head * scale > 11) {
        names.x.push(frame.x + 13); names.y.push(frame.y + 18); names.text.push(`▾ ${title}`);
      }
    }
    sources.names.data = names;
    this.sized();
  }

  sized() {
    const { scale, glyphs } = this;
    for (const [name, radius] of [["frames", 10], ["cards", 7], ["stacks", 7]]) glyphs[name].glyph.border_radius = Math.round(Math.min(14, radius * scale));
    glyphs.frames.glyph.line_width = { value: Math.min(1, Math.max(0.2, 4 * scale)) };
    const px = (size) => ({ value: `${(size * scale).toFixed(2)}px` });
    glyphs.titles.glyph.text_font_size = px(TITLE);
    glyphs.subtitles.glyph.text_font_size = px(SUBTITLE);
    glyphs.names.glyph.text_font_size = { value: `${Math.max(13 * scale, 11).toFixed(2)}px` };
  }

  fitted(text, room, size, style) {
    const key = `${size}${text}${room}`;
    if (!this.cut.has(key)) {
      this.pen.font = `${style} ${size}px ${FONT}`;
      let short = text;
      if (this.pen.measureText(text).width > room) {
        let low = 0, high = text.length;
        while (low < high) {
          const at = Math.ceil((low + high) / 2);
          if (this.pen.measureText(`${text.slice(0, at)}…`).width <= room) low = at; else high = at - 1;
        }
        short = `${text.slice(0, low)}…`;
      }
      this.cut.set(key, short);
    }
    return this.cut.get(key);
  }

  moved() {
    if (this.quiet) return;
    this.sized();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.settled(), 60);
  }

  settled() {
    if (!this.look) return;
    if (this.solid !== (this.scale < 0.3)) this.draw(this.placed, this.look); else this.write();
    this.onMoved?.();
  }

  resized() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !clientHeight || (clientWidth === this.width && clientHeight === this.height)) return;
    const scale = this.scale, { start } = this.x, { end } = this.y;
    this.width = clientWidth;
    this.height = clientHeight;
    this.view(start, end, scale);
  }

  // Shows what lies from (left, top) on, at so many pixels a point.
  view(left, top, scale) {
    this.quiet = true;
    this.x.setv({ start: left, end: left + this.width / scale });
    this.y.setv({ start: top + this.height / scale, end: top });
    this.quiet = false;
    this.settled();
  }

  fit() {
    const { width, height } = this.placed, edge = 28;
    const scale = Math.min(1.25, (this.width - 2 * edge) / width, (this.height - 2 * edge) / height);
    this.view((width - this.width / scale) / 2, (height - this.height / scale) / 2, scale);
  }

  // As `fit`, but of a picture that could not be read then, its beginning.
  begin() {
    this.fit();
    const least = 0.42;
    if (this.scale >= least) return;
    const { width } = this.placed, scale = Math.max(Math.min(0.8, (this.width - 56) / width), least);
    this.view(width * scale < this.width ? (width - this.width / scale) / 2 : -28 / scale, -28 / scale, scale);
  }

  centre(member) {
    const { x, y, width, height } = this.placed.boxes.get(member);
    const scale = Math.min(1.25, Math.max(this.scale, 0.85));
    this.view(x + width / 2 - this.width / scale / 2, y + height / 2 - this.height / scale / 2, scale);
  }

  at(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return { x: this.x.start + (event.clientX - left) / this.scale, y: this.y.end + (event.clientY - top) / this.scale };
  }

  // The member under the pointer: a box, or the frame whose heading it is.
  hit(event) {
    const { x, y } = this.at(event);
    const inside = (box) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
    const card = this.cards.find(inside);
    if (card) return card.member;
    const frame = this.open.findLast((box) => inside({ ...box, height: Math.max(34, 26 / this.scale) }));
    return frame ? frame.member : null;
  }
}

// Upright where it leaves and arrives, straight through the rows between.
function curve(points) {
  const xs = [points[0][0]], ys = [points[0][1]];
  for (let at = 1; at < points.length; at++) {
    const [x0, y0] = points[at - 1], [x1, y1] = points[at];
    if (at % 2 === 0 || Math.abs(x1 - x0) < 0.5) { xs.push(x1); ys.push(y1); continue; }
    for (let step = 1; step <= CURVE; step++) {
      const t = step / CURVE, u = 1 - t;
      xs.push(x0 * (u * u * u + 3 * u * u * t) + x1 * (3 * u * t * t + t * t * t));
      ys.push(y0 + (y1 - y0) * (1.5 * u * u * t + 1.5 * u * t * t + t * t * t));
    }
  }
  return [xs, ys];
}
