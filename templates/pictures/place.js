// Where every box stands: what compiler/draw/place.py does, done again when a frame is folded. A test holds the two equal.
// Members are numbers: stages from 0 on, then frames; waypoints are negative, and null is what lies outside.
function place(scene, folded) {
  const size = scene.sizes, stages = scene.nodes.label.length;
  const insides = new Map(), boxes = new Map(), ways = new Map(), floors = new Map();
  const isFrame = (member) => member >= stages;

  function inside(frame) {
    const extent = (member) => {
      if (member < 0) return [size.way, 0];
      if (!isFrame(member)) return [size.node_width, size.node_height];
      if (folded.has(member - stages)) return [size.card_width, size.card_height];
      const inner = inside(member - stages);
      return [inner.width + 2 * size.pad, inner.height + size.pad + size.head];
    };
    const blocks = scene.frames[frame].blocks.map((block) => placeBlock(block, extent));
    const found = pack(blocks);
    insides.set(frame, found);
    return found;
  }

  function pack(blocks) {
    const gap = size.between;
    const order = blocks.map((_, number) => number).sort((a, b) => blocks[b].height - blocks[a].height);
    let area = 0, most = 0;
    for (const block of blocks) { area += (block.width + gap) * (block.height + gap); most = Math.max(most, block.width); }
    most = Math.max(most, Math.sqrt(size.aspect * area));
    const found = { width: 0, height: 0, boxes: new Map(), ways: new Map(), floors: new Map() };
    let x = 0, y = 0, shelf = 0;
    for (const number of order) {
      const block = blocks[number];
      if (x && x + block.width > most) { x = 0; y += shelf + gap; shelf = 0; }
      for (const [name, box] of block.boxes) {
        const moved = { ...box, x: box.x + x, y: box.y + y };
        if (name < 0) found.ways.set(`${number}${name}`, moved); else found.boxes.set(name, moved);
      }
      for (const [name, floor] of block.floors) found.floors.set(name, floor + y);
      found.width = Math.max(found.width, x + block.width);
      shelf = Math.max(shelf, block.height);
      x += block.width + gap;
    }
    found.height = y + shelf;
    return found;
  }

  function placeBlock(block, extent) {
    const extents = new Map();
    for (const row of block.rows) for (const name of row) extents.set(name, extent(name));
    const centres = middles(block, extents);
    let left = Infinity, right = -Infinity, y = 0, last = 0;
    for (const [name, [width]] of extents) {
      left = Math.min(left, centres.get(name) - width / 2);
      right = Math.max(right, centres.get(name) + width / 2);
    }
    const found = { width: right - left, height: 0, boxes: new Map(), floors: new Map() };
    for (const row of block.rows) {
      const height = Math.max(...row.map((name) => extents.get(name)[1]));
      for (const name of row) {
        const [width, own] = extents.get(name);
        const tall = name < 0 ? height : own;
        found.boxes.set(name, { x: centres.get(name) - width / 2 - left, y, width, height: tall });
        found.floors.set(name, y + height);
        last = Math.max(last, y + tall);
      }
      y += height + (height ? size.gap_y : size.gap_way);
    }
    found.height = last;
    return found;
  }

  function middles(block, extents) {
    const above = new Map(), below = new Map(), rowOf = new Map(), lanes = new Map();
    block.rows.forEach((row, number) => row.forEach((name) => {
      above.set(name, []); below.set(name, []); rowOf.set(name, number);
    }));
    for (const [source, target, via] of block.links) {
      const chain = [source, ...via, target].filter((name) => name !== null).sort((a, b) => rowOf.get(a) - rowOf.get(b));
      for (let at = 0; at + 1 < chain.length; at++) {
        if (below.get(chain[at]).includes(chain[at + 1])) continue;
        below.get(chain[at]).push(chain[at + 1]);
        above.get(chain[at + 1]).push(chain[at]);
      }
      for (const way of via) if (via.length > (lanes.get(way) || []).length) lanes.set(way, via);
    }
    const centres = new Map();
    const offsets = block.rows.map((row) => {
      const at = [0];
      for (let one = 0; one + 1 < row.length; one++) {
        const gap = size.gap_x / (row[one] < 0 || row[one + 1] < 0 ? 2 : 1);
        at.push(at[one] + extents.get(row[one])[0] / 2 + gap + extents.get(row[one + 1])[0] / 2);
      }
      row.forEach((name, one) => centres.set(name, at[one] - at[at.length - 1] / 2));
      return at;
    });
    const mean = (names) => {
      let total = 0, weights = 0;
      for (const name of names) {
        const weight = name < 0 ? 1 : 5;
        total += weight * centres.get(name);
        weights += weight;
      }
      return total / weights;
    };
    for (let sweep = 0; sweep < size.sweeps; sweep++) {
      const ending = sweep >= size.sweeps - size.straight;
      const straight = new Map();
      if (ending) for (const [way, via] of lanes) straight.set(way, mean(via));
      for (let turn = 0; turn < block.rows.length; turn++) {
        const number = sweep % 2 ? block.rows.length - 1 - turn : turn;
        const row = block.rows[number], wanted = [], weights = [];
        row.forEach((name, one) => {
          const near = ending ? above.get(name).concat(below.get(name)) : (sweep % 2 ? below : above).get(name);
          const middle = straight.has(name) ? straight.get(name) : near.length ? mean(near) : centres.get(name);
          wanted.push(middle - offsets[number][one]);
          weights.push(near.length ? (name < 0 ? 6 : 1) : 0.1);
        });
        isotonic(wanted, weights).forEach((start, one) => centres.set(row[one], start + offsets[number][one]));
      }
    }
    return centres;
  }

  function isotonic(wanted, weights) {
    const pools = [];
    wanted.forEach((value, one) => {
      let pool = [value, weights[one], 1];
      while (pools.length && pools[pools.length - 1][0] > pool[0]) {
        const [mean, heavy, count] = pools.pop();
        const both = heavy + pool[1];
        pool = [(mean * heavy + pool[0] * pool[1]) / both, both, count + pool[2]];
      }
      pools.push(pool);
    });
    return pools.flatMap(([value, , count]) => new Array(count).fill(value));
  }

  function settle(frame, x, y) {
    const found = insides.get(frame);
    for (const [name, box] of found.ways) ways.set(`${frame}:${name}`, { ...box, x: box.x + x, y: box.y + y });
    for (const [name, box] of found.boxes) {
      const at = { ...box, x: box.x + x, y: box.y + y };
      boxes.set(name, at);
      floors.set(name, found.floors.get(name) + y);
      if (isFrame(name) && !folded.has(name - stages)) settle(name - stages, at.x + size.pad, at.y + size.head);
    }
  }

  function arrows() {
    const found = [], done = new Set();
    for (const [need, label] of scene.edges) {
      const one = scene.paths[need], other = scene.paths[label];
      let source = one.length - 1, target = other.length - 1;
      while (!boxes.has(one[source])) source--;
      while (!boxes.has(other[target])) target--;
      const key = `${one[source]}>${other[target]}`;
      if (one[source] === other[target] || done.has(key)) continue;
      done.add(key);
      let at = 0;
      while (one[at] === other[at]) at++;
      const passed = [];
      for (let depth = source; depth > at; depth--) passed.push(`${one[depth - 1] - stages}:${one[depth]}>null`);
      passed.push(`${one[at - 1] - stages}:${one[at]}>${other[at]}`);
      for (let depth = at + 1; depth <= target; depth++) passed.push(`${other[depth - 1] - stages}:null>${other[depth]}`);
      const start = boxes.get(one[source]), end = boxes.get(other[target]);
      const points = [[start.x + start.width / 2, start.y + start.height]];
      passed.forEach((link, number) => {
        if (number <= source - at) {
          const floor = [points[points.length - 1][0], floors.get(one[source - number])];
          points.push(floor, floor);
        }
        for (const way of scene.via.get(link)) {
          const box = ways.get(way);
          points.push([box.x + box.width / 2, box.y], [box.x + box.width / 2, box.y + box.height]);
        }
      });
      points.push([end.x + end.width / 2, end.y]);
      found.push({ source: one[source], target: other[target], points });
    }
    return found;
  }

  const whole = inside(0);
  settle(0, 0, 0);
  return { width: whole.width, height: whole.height, boxes, lines: arrows() };
}

// What does not change when frames are folded: for each link of each frame its waypoints, for each stage what is around it.
function prepare(scene) {
  const stages = scene.nodes.label.length;
  scene.via = new Map();
  scene.frames.forEach((frame, at) => frame.blocks.forEach((block, number) => {
    for (const [source, target, via] of block.links) {
      scene.via.set(`${at}:${source}>${target}`, via.map((way) => `${at}:${number}${way}`));
    }
  }));
  const around = (frame) => frame === null ? [] : [...around(scene.frames[frame].parent), stages + frame];
  const paths = scene.frames.map((_, at) => around(at));
  scene.paths = scene.nodes.frame.map((frame, at) => [...paths[frame], at]);
  scene.edges = scene.nodes.needs.flatMap((needs, at) => needs.map((need) => [need, at]));
  scene.users = scene.nodes.label.map(() => []);
  for (const [need, at] of scene.edges) scene.users[need].push(at);
  // Of each frame: every stage inside, at any depth.
  scene.inside = scene.frames.map(() => []);
  scene.paths.forEach((path, at) => { for (const one of path) if (one >= stages) scene.inside[one - stages].push(at); });
}
