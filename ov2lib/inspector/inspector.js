// The codec inspector: draws what `ov2lib.inspector.gather` found. It works nothing out; it shows.
//
//   mount(element, data)   build the page inside an element
//   default.render         the same for anywidget

const LAYERS = ["picture", "motion", "residual", "quantiser", "bits", "score", "selected"];
const HELP = {
  picture: "the picture as the canvas has it",
  motion: "where a block was predicted from, in pixels",
  residual: "what the prediction left over, mean of its absolute value in grey levels",
  quantiser: "the quantiser of the block, high is coarse",
  bits: "bits spent on the block",
  score: "the paper's score: motion and residual",
  selected: "blocks of this frame on the canvases",
};
const FRONT_ENDS = {
  paper: "paper: groups cut by bit cost",
  ippp: "ippp: fixed windows",
  released: "released: the published chain",
};

// --- data -----------------------------------------------------------------------------------------------------------

// The JSON that an element holds.
export function read(element) {
  return JSON.parse(element.textContent);
}

// A packed layer as a function (frame, block) -> number, null where there is none.
async function unpack(layer) {
  const bytes = Uint8Array.from(atob(layer.data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const view = new DataView(await new Response(stream).arrayBuffer());
  const blocks = layer.shape[1] * layer.shape[2];
  const powers = Array.from({ length: 16 }, (_, i) => 10 ** (layer.least + i));
  const value = (frame, block) => {
    const code = view.getUint16(2 * (frame * blocks + block), true);
    if (code === layer.none) return null;
    const size = (code & 1023) * powers[(code >> 10) & 15];
    return code >> 14 ? -size : size;
  };
  return Object.assign(value, { low: layer.low, high: layer.high });
}

// Where the blocks of every frame went, for one selection: frame number -> [{canvas, place, row, col, token}].
function indexBlocks(selection) {
  const byFrame = new Map();
  selection.canvases.forEach((canvas, at) => {
    canvas.blocks.forEach(([t, row, col], place) => {
      if (t < 0) return;
      if (!byFrame.has(t)) byFrame.set(t, []);
      byFrame.get(t).push({ canvas: at, place, row, col, token: canvas.tokens[place] });
    });
  });
  return byFrame;
}

function nearest(sorted, value) {
  let low = 0;
  let high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return value - sorted[low] <= sorted[high] - value ? low : high;
}

// --- elements -------------------------------------------------------------------------------------------------------

// An element with attributes and children; text is always text, never markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "checked" || name === "value") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function picture(src) {
  const image = new Image();
  image.src = src;
  return image;
}

const seconds = (value) => `${value.toFixed(3)} s`;
const digits = { maximumSignificantDigits: 3 };
const number = (value, unit) => (value === null ? "none" : `${value.toLocaleString("en", digits)}${unit ? ` ${unit}` : ""}`);

// --- the inspector --------------------------------------------------------------------------------------------------

class Inspector {
  constructor(root, data, layers) {
    this.root = root;
    this.data = data;
    this.layers = layers;
    this.pictures = data.pictures.map(({ frame, src }) => ({ frame, image: picture(src) }));
    this.pictureFrames = data.pictures.map(({ frame }) => frame);
    this.place = new Map(data.frames.map((frame, i) => [frame, i]));
    for (const selection of data.selections) {
      selection.byFrame = indexBlocks(selection);
      selection.images = selection.canvases.map(({ src }) => picture(src));
    }
    this.frontEnds = [...new Set(data.selections.map((one) => one["front end"]))];
    this.budgets = [...new Set(data.selections.map((one) => one.budget))].sort((a, b) => a - b);
    this.state = {
      at: 0,
      layer: "picture",
      frontEnd: this.frontEnds[0],
      other: "",
      budget: this.budgets.length - 1,
      from: data.start,
      to: data.end,
      hover: null,
      playing: false,
    };
    const { times, bytes } = data.packets;
    this.most = bytes.reduce((most, one) => Math.max(most, one), 0); // a long video has more frames than a call takes arguments
    const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
    this.gap = gaps[gaps.length >> 1] ?? data.duration / 40; // a frame's usual share of the time line
    this.build();
    for (const image of [...this.pictures.map((one) => one.image), ...data.selections.flatMap((one) => one.images)]) {
      image.addEventListener("load", () => this.draw());
    }
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.update({});
  }

  selection(frontEnd) {
    return this.data.selections.find((one) => one["front end"] === frontEnd && one.budget === this.budgets[this.state.budget]);
  }

  get shown() {
    return [this.state.frontEnd, this.state.other].filter(Boolean).map((name) => this.selection(name));
  }

  get frame() {
    return this.state.hover?.frame ?? this.data.frames[this.state.at];
  }

  // --- building -----------------------------------------------------------------------------------------------------

  build() {
    const { data } = this;
    this.root.classList.add("ov2");
    this.root.tabIndex = -1; // a click anywhere on the page lets the keys work
    this.root.setAttribute("aria-label", "codec inspector");
    const [height, width] = data.shown;
    const origins = Object.entries(data.origins).map(([signal, origin]) => `${signal} ${origin}`).join(", ");
    this.time = make("canvas", {
      class: "time",
      tabindex: 0,
      role: "slider",
      "aria-label": "time line: bytes of packets above, bit cost and groups below",
      "aria-valuemin": 0,
      "aria-valuemax": data.frames.length - 1,
    });
    this.scrub = make("input", {
      type: "range",
      class: "scrub",
      min: 0,
      max: data.frames.length - 1,
      value: 0,
      "aria-label": "frame",
      oninput: (event) => this.goTo(Number(event.target.value)),
    });
    const [rows, cols] = data.grid;
    this.view = make("canvas", { class: "frame", role: "img" });
    this.view.style.maxWidth = `min(100%, ${(70 * cols) / rows}vh)`;
    this.note = make("p", { class: "note" });
    this.facts = make("dl", { class: "facts" });
    this.says = make("p", { class: "says", "aria-live": "polite" });
    this.sets = make("div", { class: "sets" });
    this.prompt = make("pre", { class: "prompt", tabindex: 0, "aria-label": "prompt" });
    this.table = make("div", { class: "wide" });
    this.root.replaceChildren(
      make("h1", {}, data.name),
      make(
        "p",
        { class: "head" },
        `${data.codec}, ${width}x${height}, ${data.fps.toFixed(3)} frames a second, ${seconds(data.duration)}; signals: ${
          origins || "none"
        }`,
      ),
      this.controls(),
      this.time,
      this.scrub,
      this.says,
      make(
        "div",
        { class: "views" },
        make("section", {}, make("h2", {}, "Frame"), this.view, this.note, this.facts),
        this.sets,
      ),
      make("details", { open: "" }, make("summary", {}, "Prompt"), this.prompt),
      make("details", {}, make("summary", {}, "Groups as a table"), this.table),
      make("details", {}, make("summary", {}, "Keys"), this.keysHelp()),
    );
    this.listen();
  }

  controls() {
    const { state } = this;
    const layers = make("fieldset", { class: "layers", "aria-label": "layer" });
    const group = `layer-${Math.random()}`; // one page may hold several inspectors
    LAYERS.forEach((layer, i) => {
      const input = make("input", {
        type: "radio",
        name: group,
        value: layer,
        checked: layer === state.layer,
        onchange: () => this.update({ layer }),
      });
      layers.append(make("label", { title: `${HELP[layer]} (key ${i + 1})` }, input, layer));
    });
    this.layerInputs = [...layers.querySelectorAll("input")];
    const options = (names) => names.map((name) => make("option", { value: name }, FRONT_ENDS[name] ?? (name || "nothing")));
    this.first = make("select", {
      "aria-label": "front end",
      onchange: (event) => this.compare(event.target.value, this.state.other),
    }, ...options(this.frontEnds));
    this.second = make("select", {
      "aria-label": "compare with",
      onchange: (event) => this.compare(this.state.frontEnd, event.target.value),
    }, ...options(["", ...this.frontEnds]));
    this.budget = make("input", {
      type: "range",
      min: 0,
      max: this.budgets.length - 1,
      value: state.budget,
      "aria-label": "canvas budget",
      oninput: (event) => this.update({ budget: Number(event.target.value), hover: null }),
    });
    this.budgetText = make("output", {});
    this.play = make("button", { type: "button", onclick: () => this.toggle() }, "play");
    return make(
      "div",
      { class: "bar" },
      layers,
      make("label", {}, "front end ", this.first),
      make("label", {}, "beside ", this.second),
      make("label", {}, "canvases ", this.budget, " ", this.budgetText),
      this.play,
      make("button", { type: "button", onclick: () => this.zoom(0.5) }, "zoom in"),
      make("button", { type: "button", onclick: () => this.zoom(2) }, "zoom out"),
    );
  }

  keysHelp() {
    const rows = [
      ["← →", "one frame (with shift: one second)"],
      ["space", "play and stop"],
      ["1 … 7", "layer"],
      ["+ −", "zoom the time line"],
      ["[ ]", "fewer and more canvases"],
      ["w a s d", "point at a block of the frame and move up, left, down, right"],
      ["Esc", "let go of a block"],
    ];
    const list = make("dl", {});
    for (const [key, what] of rows) list.append(make("dt", {}, make("kbd", {}, key)), make("dd", {}, what));
    return list;
  }

  listen() {
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.time.addEventListener("pointerdown", (event) => {
      this.time.setPointerCapture(event.pointerId);
      this.drag = { x: event.clientX, from: this.state.from, to: this.state.to, moved: false };
    });
    this.time.addEventListener("pointermove", (event) => this.pan(event));
    this.time.addEventListener("pointerup", (event) => {
      if (this.drag && !this.drag.moved) this.goTo(nearest(this.data.times, this.timeAt(event)));
      this.drag = null;
    });
    this.time.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event));
    }, { passive: false });
    this.pointAt(this.view, (event) => this.overFrame(event));
  }

  // Hovering with a mouse, or a tap, whose block stays named when the finger leaves.
  pointAt(canvas, over) {
    for (const name of ["pointermove", "pointerdown"]) canvas.addEventListener(name, over);
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.update({ hover: null }));
  }

  // --- acting -------------------------------------------------------------------------------------------------------

  update(change) {
    Object.assign(this.state, change);
    const { state, data } = this;
    this.scrub.value = state.at;
    this.scrub.setAttribute("aria-valuetext", `frame ${data.frames[state.at]}, ${seconds(data.times[state.at])}`);
    this.time.setAttribute("aria-valuenow", state.at);
    for (const input of this.layerInputs) input.checked = input.value === state.layer;
    Object.assign(this.first, { value: state.frontEnd });
    Object.assign(this.second, { value: state.other });
    Object.assign(this.budget, { value: state.budget });
    this.budgetText.textContent = String(this.budgets[state.budget]);
    this.tell();
    this.draw();
  }

  key(event) {
    if (event.target.matches("select, pre") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? Math.max(1, Math.round(this.data.fps)) : 1;
    const range = event.target.matches("input[type=range]");
    const actions = {
      ArrowLeft: () => this.step(-step),
      ArrowRight: () => this.step(step),
      " ": () => this.toggle(),
      "+": () => this.zoom(0.8),
      "-": () => this.zoom(1.25),
      w: () => this.moveBlock(-1, 0),
      a: () => this.moveBlock(0, -1),
      s: () => this.moveBlock(1, 0),
      d: () => this.moveBlock(0, 1),
      Escape: () => this.update({ hover: null }),
      "[": () => this.update({ budget: Math.max(0, this.state.budget - 1) }),
      "]": () => this.update({ budget: Math.min(this.budgets.length - 1, this.state.budget + 1) }),
    };
    const digit = Number(event.key);
    if (digit >= 1 && digit <= LAYERS.length) this.update({ layer: LAYERS[digit - 1] });
    else if (
      actions[event.key] && !(event.key === " " && event.target.matches("button, summary")) &&
      !(range && event.target !== this.scrub && event.key.startsWith("Arrow"))
    ) actions[event.key]();
    else return;
    event.preventDefault();
  }

  compare(frontEnd, other) {
    this.update({ frontEnd, other: other === frontEnd ? "" : other, hover: null });
  }

  step(frames) {
    this.goTo(Math.min(Math.max(this.state.at + frames, 0), this.data.frames.length - 1));
  }

  // Show a frame; while the video plays, it goes on from there.
  goTo(at) {
    this.begun = performance.now() - 1000 * this.data.times[at];
    this.show(at);
  }

  show(at) {
    this.update({ at, hover: null });
    this.keepInView();
  }

  moveBlock(down, right) {
    const [rows, cols] = this.data.grid;
    const frame = this.data.frames[this.state.at];
    const { row, col } = this.state.hover?.frame === frame
      ? this.state.hover
      : { row: (rows >> 1) - down, col: (cols >> 1) - right };
    const within = (value, most) => Math.min(Math.max(value, 0), most - 1);
    this.update({ hover: { frame, row: within(row + down, rows), col: within(col + right, cols), token: null } });
  }

  toggle() {
    this.state.playing = !this.state.playing;
    this.play.textContent = this.state.playing ? "stop" : "play";
    if (!this.state.playing) return;
    const { times } = this.data;
    this.goTo(this.state.at === times.length - 1 ? 0 : this.state.at);
    const next = (now) => {
      if (!this.state.playing) return;
      const time = (now - this.begun) / 1000;
      this.show(nearest(times, time));
      if (time >= times.at(-1)) return this.toggle();
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  zoom(factor, around = this.data.times[this.state.at]) {
    const { start, end } = this.data;
    const span = Math.min(Math.max((this.state.to - this.state.from) * factor, 0.2), end - start);
    const share = (around - this.state.from) / (this.state.to - this.state.from);
    const from = Math.min(Math.max(around - share * span, start), end - span);
    this.update({ from, to: from + span });
  }

  pan(event) {
    if (!this.drag) return;
    const moved = event.clientX - this.drag.x;
    if (Math.abs(moved) > 3) this.drag.moved = true;
    if (!this.drag.moved) return;
    const span = this.drag.to - this.drag.from;
    const { start, end } = this.data;
    const from = Math.min(Math.max(this.drag.from - (moved / this.time.clientWidth) * span, start), end - span);
    this.update({ from, to: from + span });
  }

  keepInView() {
    const time = this.data.times[this.state.at];
    const span = this.state.to - this.state.from;
    if (time >= this.state.from && time <= this.state.to) return;
    const from = Math.min(Math.max(time - span / 2, this.data.start), this.data.end - span);
    this.update({ from, to: from + span });
  }

  timeAt(event) {
    const share = event.offsetX / this.time.clientWidth;
    return this.state.from + share * (this.state.to - this.state.from);
  }

  overFrame(event) {
    const [rows, cols] = this.data.grid;
    const col = Math.min(cols - 1, Math.max(0, Math.floor((event.offsetX / this.view.clientWidth) * cols)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor((event.offsetY / this.view.clientHeight) * rows)));
    this.update({ hover: { frame: this.data.frames[this.state.at], row, col, token: null } });
  }

  overCanvas(event, selection, at) {
    const [rows, cols] = this.data.grid;
    const target = event.currentTarget;
    const col = Math.min(cols - 1, Math.max(0, Math.floor((event.offsetX / target.clientWidth) * cols)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor((event.offsetY / target.clientHeight) * rows)));
    const place = row * cols + col;
    const [t, sourceRow, sourceCol] = selection.canvases[at].blocks[place];
    if (t < 0) return this.update({ hover: null });
    const token = selection.canvases[at].tokens[place];
    this.update({ hover: { frame: t, row: sourceRow, col: sourceCol, token, canvas: selection.canvases[at].number } });
  }

  // --- telling ------------------------------------------------------------------------------------------------------

  values(frame, row, col) {
    const at = this.place.get(frame);
    if (at === undefined) return null;
    const block = row * this.data.grid[1] + col;
    return Object.fromEntries(Object.entries(this.layers).map(([name, value]) => [name, value(at, block)]));
  }

  tell() {
    const { data, state, frame } = this;
    const at = this.place.get(frame);
    const time = data.packets.times[frame];
    const facts = [["frame", String(frame)], ["time", seconds(time)], ["kind", data.packets.kinds[frame]], [
      "bytes",
      data.packets.bytes[frame].toLocaleString("en"),
    ]];
    for (const selection of this.shown) {
      const mine = selection.byFrame.get(frame) ?? [];
      facts.push([`blocks, ${selection["front end"]}`, `${mine.length} of ${data.grid[0] * data.grid[1]}`]);
    }
    this.facts.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    const picked = this.pictureFrames[nearest(this.pictureFrames, frame)];
    this.note.textContent = at === undefined
      ? "outside the seconds of this page"
      : picked === frame
      ? "picture of this frame"
      : `picture of frame ${picked}, the nearest one stored`;
    this.view.setAttribute("aria-label", `frame ${frame} at ${seconds(time)}, layer ${state.layer}`);
    this.tellBlock();
    this.tellGroups();
  }

  tellBlock() {
    const { hover } = this.state;
    if (!hover) {
      const value = this.layers[this.state.layer];
      const unit = this.data.units[this.state.layer];
      const scale = value ? `; from ${number(value.low, unit)} (dark) to ${number(value.high, unit)} (yellow)` : "";
      this.says.replaceChildren(`${HELP[this.state.layer]}${scale}. Point at a block of the frame or of a canvas.`);
      return;
    }
    const where = `frame ${hover.frame}, ${
      seconds(this.data.packets.times[hover.frame])
    }, row ${hover.row}, column ${hover.col}`;
    const token = hover.token === null ? "" : `; canvas ${hover.canvas}, token ${hover.token}`;
    const values = this.values(hover.frame, hover.row, hover.col);
    const texts = values && Object.entries(values).map(([name, value]) => `${name} ${number(value, this.data.units[name])}`);
    this.says.replaceChildren(make("b", {}, where + token), texts ? `: ${texts.join(", ")}` : "");
  }

  tellGroups() {
    const key = `${this.state.frontEnd}/${this.state.budget}`;
    if (key === this.toldGroups) return;
    this.toldGroups = key;
    const selection = this.selection(this.state.frontEnd);
    this.prompt.textContent = selection.prompt;
    const head = make(
      "tr",
      {},
      ...["group", "seconds of its blocks", "canvases", "blocks", "frames"].map((name) => make("th", { scope: "col" }, name)),
    );
    const rows = Object.entries(selection.groups).map(([group, [from, to]]) => {
      const mine = selection.canvases.filter((canvas) => canvas.group === Number(group));
      const blocks = mine.flatMap((canvas) => canvas.blocks.filter(([t]) => t >= 0).map(([t]) => t));
      const cells = [group, `${from.toFixed(2)} to ${to.toFixed(2)}`, mine.length, blocks.length, new Set(blocks).size];
      return make("tr", {}, ...cells.map((cell) => make("td", {}, String(cell))));
    });
    this.table.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  // --- drawing ------------------------------------------------------------------------------------------------------

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.colours = Object.fromEntries(["ink", "soft", "line", "accent", "mark", "I", "P", "B", "bits"].map(
        (name) => [name, getComputedStyle(this.root).getPropertyValue(`--${name}`).trim()],
      ));
      this.drawTime();
      this.drawFrame();
      this.drawSets();
      this.root.dataset.drawn = String(Number(this.root.dataset.drawn ?? 0) + 1);
    });
  }

  // A canvas element's context, as large as it is shown; width 0 where it is not shown.
  context(canvas, ratio = null) {
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = ratio === null ? Math.round(canvas.clientHeight * scale) : Math.round(width * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height, scale };
  }

  drawTime() {
    const { data, state, colours } = this;
    const { context, width, height, scale } = this.context(this.time);
    if (!width) return;
    const x = (time) => ((time - state.from) / (state.to - state.from)) * width;
    const middle = height * 0.56;
    const { times, bytes, kinds } = data.packets;
    const top = Math.log1p(this.most);
    const bar = Math.max(scale, (x(this.gap) - x(0)) * 0.7);
    for (let i = 0; i < times.length; i++) {
      if (times[i] < state.from || times[i] > state.to) continue;
      const size = (Math.log1p(bytes[i]) / top) * (middle - 16 * scale);
      context.fillStyle = colours[kinds[i]] ?? colours.soft;
      context.fillRect(x(times[i]) - bar / 2, middle - size, bar, size);
    }
    const most = Math.max(...data.bins.cost, 1);
    context.fillStyle = colours.bits;
    data.bins.cost.forEach((cost, i) => {
      const left = x(i * data.bins.seconds);
      const size = (cost / most) * (height - middle - 18 * scale);
      context.fillRect(left, height - size, Math.max(1, x((i + 1) * data.bins.seconds) - left - 1), size);
    });
    context.font = `${11 * scale}px system-ui, sans-serif`;
    context.fillStyle = colours.soft;
    context.fillText(`bit cost and groups: ${state.frontEnd}`, 6 * scale, middle + 13 * scale);
    let left = 6 * scale;
    for (const text of ["bytes of each frame (log):", ...new Set(kinds)]) {
      context.fillStyle = colours[text] ?? colours.soft;
      context.fillText(text, left, 12 * scale);
      left += context.measureText(text).width + 6 * scale;
    }
    this.drawSeconds(context, x, width, middle, scale);
    context.strokeStyle = colours.ink;
    context.setLineDash([4 * scale, 3 * scale]);
    for (const edge of this.selection(state.frontEnd).edges) this.line(context, x(edge), middle, height, scale);
    context.setLineDash([]);
    context.strokeStyle = colours.mark;
    this.line(context, x(data.packets.times[this.frame]), 0, height, 2 * scale);
  }

  // Seconds below the packets, at round steps with room between them.
  drawSeconds(context, x, width, y, scale) {
    const { from, to } = this.state;
    const room = ((to - from) * 60 * scale) / width;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600].find((one) => one >= room) ?? 3600;
    context.fillStyle = this.colours.soft;
    context.textAlign = "right";
    for (let i = Math.ceil(from / step); i * step <= to; i++) {
      if (x(i * step) < width / 3) continue; // the title of the bit cost stands there
      context.fillRect(x(i * step), y, scale, 5 * scale);
      context.fillText(`${Number((i * step).toFixed(1))} s`, x(i * step) - 3 * scale, y + 13 * scale);
    }
    context.textAlign = "left";
  }

  line(context, x, from, to, width) {
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x, from);
    context.lineTo(x, to);
    context.stroke();
  }

  drawFrame() {
    const { data, state, frame } = this;
    const [rows, cols] = data.grid;
    const { context, width, height, scale } = this.context(this.view, rows / cols);
    if (!width) return;
    const image = this.pictures[nearest(this.pictureFrames, frame)].image;
    if (image.complete && image.naturalWidth) context.drawImage(image, 0, 0, width, height);
    const at = this.place.get(frame);
    if (at !== undefined && state.layer === "motion") this.drawMotion(context, at, width, height, scale);
    else if (at !== undefined && this.layers[state.layer]) this.drawHeat(context, at, width, height);
    if (state.layer === "selected") this.drawSelected(context, frame, width, height, scale);
    if (state.hover) this.box(context, state.hover.row, state.hover.col, width, height, this.colours.mark, 2.5 * scale);
  }

  // Dark is little, yellow is much: an even scale that the common kinds of colour blindness can read.
  drawHeat(context, at, width, height) {
    const value = this.layers[this.state.layer];
    const [rows, cols] = this.data.grid;
    const span = value.high - value.low || 1;
    for (let block = 0; block < rows * cols; block++) {
      const one = value(at, block);
      if (one === null) continue;
      const share = this.state.layer === "quantiser" ? (one - value.low) / span : Math.sqrt((one - value.low) / span);
      context.fillStyle = heat(share);
      context.fillRect(...this.cell(block, width, height));
    }
  }

  // A block's place in a picture as [x, y, width, height], whole pixels without gaps.
  cell(block, width, height) {
    const [rows, cols] = this.data.grid;
    const [row, col] = [Math.floor(block / cols), block % cols];
    const [x0, x1] = [Math.round((col * width) / cols), Math.round(((col + 1) * width) / cols)];
    const [y0, y1] = [Math.round((row * height) / rows), Math.round(((row + 1) * height) / rows)];
    return [x0, y0, x1 - x0, y1 - y0];
  }

  drawMotion(context, at, width, height, scale) {
    const [rows, cols] = this.data.grid;
    const pixels = width / this.data.shown[1];
    context.fillStyle = "rgb(0 0 0 / 45%)";
    context.fillRect(0, 0, width, height);
    context.strokeStyle = "#ffd84d";
    context.fillStyle = "#ffd84d";
    context.lineWidth = 1.5 * scale;
    for (let block = 0; block < rows * cols; block++) {
      const dx = this.layers["motion x"](at, block);
      const dy = this.layers["motion y"](at, block);
      if (dx === null || dy === null) continue;
      const x = ((block % cols) + 0.5) * (width / cols);
      const y = (Math.floor(block / cols) + 0.5) * (height / rows);
      context.beginPath();
      context.moveTo(x + dx * pixels, y + dy * pixels); // from where the block was predicted to where it is
      context.lineTo(x, y);
      context.stroke();
      context.fillRect(x - scale, y - scale, 2 * scale, 2 * scale);
    }
  }

  drawSelected(context, frame, width, height, scale) {
    const blocks = this.selection(this.state.frontEnd).byFrame.get(frame) ?? [];
    const [rows, cols] = this.data.grid;
    const chosen = new Set(blocks.map(({ row, col }) => row * cols + col));
    context.fillStyle = "rgb(0 0 0 / 60%)";
    for (let block = 0; block < rows * cols; block++) {
      if (chosen.has(block)) continue;
      context.fillRect(...this.cell(block, width, height));
    }
    for (const { row, col } of blocks) this.box(context, row, col, width, height, "#ffd84d", scale);
  }

  box(context, row, col, width, height, colour, thick) {
    const [rows, cols] = this.data.grid;
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.strokeRect(
      col * (width / cols) + thick / 2,
      row * (height / rows) + thick / 2,
      width / cols - thick,
      height / rows - thick,
    );
  }

  // The group between whose edges the time falls, or the nearest of those that have canvases here.
  groupAt(selection, time) {
    const number = selection.edges.filter((edge) => edge <= time).length - 1;
    if (number in selection.groups) return number;
    const away = ([from, to]) => Math.max(from - time, time - to, 0);
    const entries = Object.entries(selection.groups);
    return Number(entries.reduce((best, one) => (away(one[1]) < away(best[1]) ? one : best))[0]);
  }

  drawSets() {
    const time = this.data.times[this.state.at];
    const wanted = this.shown.map((selection) => {
      const group = this.groupAt(selection, time);
      return { selection, group, canvases: selection.canvases.flatMap((canvas, i) => (canvas.group === group ? [i] : [])) };
    });
    const key = JSON.stringify(wanted.map(({ selection, group }) => [selection["front end"], selection.budget, group]));
    if (key !== this.setsShown) this.buildSets(wanted, key);
    for (const { canvas, selection, at } of this.drawn) this.drawCanvas(canvas, selection, at);
  }

  buildSets(wanted, key) {
    this.setsShown = key;
    this.drawn = [];
    this.sets.classList.toggle("two", wanted.length === 2);
    this.sets.replaceChildren(...wanted.map(({ selection, group, canvases }) => {
      const strip = make("div", { class: "strip" });
      for (const at of canvases) {
        const canvas = make("canvas", {
          role: "img",
          "aria-label": `canvas ${selection.canvases[at].number}`,
        });
        this.pointAt(canvas, (event) => this.overCanvas(event, selection, at));
        this.drawn.push({ canvas, selection, at });
        strip.append(canvas);
      }
      const tokens = selection.tokens.toLocaleString("en");
      const word = canvases.length === 1 ? "canvas" : "canvases";
      const title = `${selection["front end"]}: group ${group}, ${canvases.length} ${word}; ${tokens} tokens in all`;
      return make("section", {}, make("h2", {}, title), strip);
    }));
  }

  drawCanvas(canvas, selection, at) {
    const [rows, cols] = this.data.grid;
    const { context, width, height, scale } = this.context(canvas, rows / cols);
    if (!width) return;
    const image = selection.images[at];
    if (image.complete && image.naturalWidth) context.drawImage(image, 0, 0, width, height);
    const mark = (block, thick) =>
      this.box(
        context,
        Math.floor(block.place / cols),
        block.place % cols,
        width,
        height,
        thick > 1 ? this.colours.mark : "#ffd84d",
        thick * scale,
      );
    const { hover, layer } = this.state;
    for (const block of selection.byFrame.get(this.frame) ?? []) {
      if (block.canvas !== at) continue;
      if (hover && block.row === hover.row && block.col === hover.col) mark(block, 2.5);
      else if (layer === "selected") mark(block, 1);
    }
  }
}

function heat(share) {
  const stops = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // the "inferno" scale of matplotlib
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[low].map((value, i) => Math.round(value + (stops[low + 1][i] - value) * (place - low)));
  return `rgb(${mixed.join(" ")} / ${30 + 60 * Math.min(share, 1)}%)`;
}

export async function mount(root, data) {
  const unpacked = Object.entries(data.layers).map(async ([name, layer]) => [name, await unpack(layer)]);
  root.inspector = new Inspector(root, data, Object.fromEntries(await Promise.all(unpacked))); // for tests and for the curious
  return root.inspector;
}

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    mount(root, model.get("data"));
  },
};
