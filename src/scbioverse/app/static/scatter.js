// Points on a canvas, mixed into its pixels one by one: no graphics card is needed, and a hundred thousand take some
// hundredths of a second. Selection by a line drawn around them, or by keys: a pointer, a brush, corners of a line.

const DIM = 0.13; // how much of its colour a point keeps that is not selected
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Scatter {
  // onSelect(selected: Uint8Array), onHover(index or -1, x, y), onSay(text)
  constructor(canvas, { onSelect, onHover, onSay }) {
    Object.assign(this, { canvas, onSelect, onHover, onSay });
    this.over = canvas.parentElement.querySelector("canvas.sb-over");
    this.n = 0;
    this.box = [1, 1];
    this.mode = "lasso";
    this.view = { x: 0, y: 0, zoom: 1 };
    this.pointer = null; // of the keyboard, in CSS pixels
    this.brush = 24;
    this.line = [];
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
  }

  setPoints(xy) {
    this.n = xy.length / 2;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.n; i++) {
      const [x, y] = [xy[2 * i], xy[2 * i + 1]];
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    const span = Math.max(x1 - x0, y1 - y0) || 1;
    this.box = [(x1 - x0) / span || 1, (y1 - y0) / span || 1];
    this.xy = new Float32Array(xy.length);
    for (let i = 0; i < this.n; i++) {
      this.xy[2 * i] = (xy[2 * i] - (x0 + x1) / 2) / span;
      this.xy[2 * i + 1] = ((y0 + y1) / 2 - xy[2 * i + 1]) / span; // up is up
    }
    // Drawn in a mixed order, so that no group lies on top of the others. The same at every visit.
    this.order = Uint32Array.from({ length: this.n }, (_, i) => i);
    for (let i = this.n - 1, seed = 1; i > 0; i--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const j = seed % (i + 1);
      [this.order[i], this.order[j]] = [this.order[j], this.order[i]];
    }
    this.selected = new Uint8Array(this.n);
    this.count = 0;
    this.colours = new Uint32Array(this.n).fill(0x00888888);
    this.#resize();
  }

  setColours(rgb) {
    this.colours = rgb;
    this.draw();
  }

  select(selected, { tell = true } = {}) {
    this.selected = selected;
    this.count = 0;
    for (let i = 0; i < this.n; i++) this.count += selected[i];
    this.draw();
    if (tell) this.onSelect(selected, this.count);
  }

  // A polygon in CSS pixels; `how` is "new", "add" or "remove".
  lasso(corners, how = "new") {
    if (corners.length < 3) return;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [x, y] of corners) {
      [x0, x1] = [Math.min(x0, x), Math.max(x1, x)];
      [y0, y1] = [Math.min(y0, y), Math.max(y1, y)];
    }
    const chosen = how === "new" ? new Uint8Array(this.n) : this.selected.slice();
    const { scale, dx, dy } = this.#place();
    for (let i = 0; i < this.n; i++) {
      const x = this.xy[2 * i] * scale + dx;
      const y = this.xy[2 * i + 1] * scale + dy;
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && inside(x, y, corners)) chosen[i] = how === "remove" ? 0 : 1;
    }
    this.select(chosen);
  }

  clear() {
    this.line = [];
    this.select(new Uint8Array(this.n));
    this.#drawOver();
  }

  fit() {
    this.view = { x: 0, y: 0, zoom: 1 };
    this.draw();
  }

  zoom(factor, at) {
    const [x, y] = at || [this.width / 2, this.height / 2];
    const before = this.view.zoom;
    this.view.zoom = Math.min(200, Math.max(0.5, before * factor));
    const grown = this.view.zoom / before;
    this.view.x = x - this.width / 2 - (x - this.width / 2 - this.view.x) * grown;
    this.view.y = y - this.height / 2 - (y - this.height / 2 - this.view.y) * grown;
    this.draw();
  }

  nearest(x, y, within = 10) {
    const { scale, dx, dy } = this.#place();
    let [best, found] = [within * within, -1];
    for (let i = 0; i < this.n; i++) {
      const a = this.xy[2 * i] * scale + dx - x;
      const b = this.xy[2 * i + 1] * scale + dy - y;
      if (a * a + b * b < best) [best, found] = [a * a + b * b, i];
    }
    return found;
  }

  draw() {
    if (this.asked || !this.n || !this.width) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.#paint();
    });
  }

  #place() {
    const scale = 0.92 * Math.min(this.width / this.box[0], this.height / this.box[1]) * this.view.zoom;
    return { scale, dx: this.width / 2 + this.view.x, dy: this.height / 2 + this.view.y };
  }

  #resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    [this.width, this.height] = [Math.round(box.width), Math.round(box.height)];
    this.dots = Math.min(2, window.devicePixelRatio || 1);
    for (const one of [this.canvas, this.over]) {
      one.width = this.width * this.dots;
      one.height = this.height * this.dots;
    }
    this.draw();
    this.#drawOver();
  }

  #paint() {
    const start = performance.now();
    const { width, height } = this.canvas;
    if (!width || !height) return;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer).fill(0xffffffff);
    const { scale, dx, dy } = this.#place();
    const dots = this.dots;
    const radius =
      dots * Math.min(5, Math.max(1.1, (2.6 * Math.sqrt(this.view.zoom)) / Math.max(1, Math.log10(this.n) - 2.6)));
    const stamp = disc(radius);
    const passes = this.count ? [0, 1] : [-1];
    for (const pass of passes) {
      const keep = pass === 0 ? DIM : 0.85;
      for (let k = 0; k < this.n; k++) {
        const i = this.order[k];
        if (pass >= 0 && this.selected[i] !== pass) continue;
        const x = Math.round((this.xy[2 * i] * scale + dx) * dots);
        const y = Math.round((this.xy[2 * i + 1] * scale + dy) * dots);
        if (x < -8 || y < -8 || x >= width + 8 || y >= height + 8) continue;
        const colour = this.colours[i];
        const [r, g, b] = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
        for (let s = 0; s < stamp.length; s += 3) {
          const [px, py] = [x + stamp[s], y + stamp[s + 1]];
          if (px < 0 || py < 0 || px >= width || py >= height) continue;
          const at = py * width + px;
          const held = pixels[at];
          const share = stamp[s + 2] * keep;
          const rest = 1 - share;
          pixels[at] =
            (0xff000000 |
              ((((held >> 16) & 255) * rest + b * share) << 16) |
              ((((held >> 8) & 255) * rest + g * share) << 8) |
              ((held & 255) * rest + r * share)) >>>
            0;
        }
      }
    }
    context.putImageData(image, 0, 0);
    this.canvas.dataset.drawn = (performance.now() - start).toFixed(1); // milliseconds, for who measures
  }

  #drawOver() {
    const context = this.over.getContext("2d");
    context.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.lineWidth = 1.5;
    context.strokeStyle = "#1f3b73";
    if (this.line.length) {
      context.beginPath();
      this.line.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (this.drag) context.closePath();
      context.fillStyle = "rgba(31, 59, 115, 0.08)";
      context.fill();
      context.stroke();
      if (!this.drag) for (const [x, y] of this.line) context.strokeRect(x - 2.5, y - 2.5, 5, 5);
    }
    if (this.pointer) {
      const [x, y] = this.pointer;
      context.beginPath();
      context.arc(x, y, this.brush, 0, 2 * Math.PI);
      for (const [a, b] of [
        [-6, 0],
        [0, -6],
      ]) {
        context.moveTo(x + a, y + b);
        context.lineTo(x - a, y - b);
      }
      context.stroke();
    }
  }

  #listen() {
    const on = (name, what) => this.over.addEventListener(name, what);
    const place = (event) => {
      const box = this.over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    on("pointerdown", (event) => {
      if (event.button > 1) return;
      this.over.focus({ preventScroll: true });
      this.over.setPointerCapture(event.pointerId);
      const pan = this.mode === "move" || event.button === 1;
      this.pointer = null;
      this.drag = { pan, last: place(event), how: event.shiftKey ? "add" : event.altKey ? "remove" : "new" };
      this.line = pan ? [] : [place(event)];
      event.preventDefault();
    });
    on("pointermove", (event) => {
      const [x, y] = place(event);
      if (!this.drag) {
        if (event.pointerType === "mouse") this.onHover(this.n ? this.nearest(x, y) : -1, x, y);
        return;
      }
      this.onHover(-1, 0, 0);
      if (this.drag.pan) {
        this.view.x += x - this.drag.last[0];
        this.view.y += y - this.drag.last[1];
        this.drag.last = [x, y];
        this.draw();
        return;
      }
      const [a, b] = this.line[this.line.length - 1];
      if (Math.hypot(x - a, y - b) >= 3) this.line.push([x, y]);
      this.#drawOver();
    });
    const end = (event) => {
      if (!this.drag) return;
      const { pan, how } = this.drag;
      const corners = this.line;
      this.drag = null;
      this.line = [];
      this.#drawOver();
      if (pan || event.type === "pointercancel") return;
      if (corners.length >= 3) this.lasso(corners, how);
      else if (how === "new" && this.count) this.clear();
    };
    on("pointerup", end);
    on("pointercancel", end);
    on("pointerleave", () => this.onHover(-1, 0, 0));
    on("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), place(event));
    });
    on("keydown", (event) => this.#key(event));
    on("blur", () => {
      this.pointer = null;
      this.#drawOver();
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.pointer || [this.width / 2, this.height / 2];
    const move = KEYS[event.key];
    if (move) {
      const step = event.shiftKey ? 40 : 10;
      this.pointer = [
        Math.min(this.width, Math.max(0, at[0] + step * move[0])),
        Math.min(this.height, Math.max(0, at[1] + step * move[1])),
      ];
      const here = this.nearest(...this.pointer);
      this.onHover(here, ...this.pointer);
    } else if (event.key === " ") this.#stroke(at, 1);
    else if (event.key === "Backspace" || event.key === "Delete") this.#stroke(at, 0);
    else if (event.key === "Enter") {
      this.pointer = at;
      this.line.push([...at]);
      this.onSay(`Corner ${this.line.length} of the line. C closes it.`);
    } else if (event.key === "c" || event.key === "C") {
      const corners = this.line;
      this.line = [];
      if (corners.length < 3) this.onSay("A line needs three corners: Enter sets one.");
      this.lasso(corners, event.shiftKey ? "add" : "new");
    } else if (event.key === "[" || event.key === "]") {
      this.brush = Math.min(200, Math.max(6, this.brush * (event.key === "]" ? 1.25 : 0.8)));
      this.pointer = at;
    } else if (event.key === "+" || event.key === "=") this.zoom(1.3, at);
    else if (event.key === "-") this.zoom(1 / 1.3, at);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
    this.#drawOver();
  }

  #stroke([x, y], value) {
    this.pointer = [x, y];
    const { scale, dx, dy } = this.#place();
    const chosen = this.selected.slice();
    for (let i = 0; i < this.n; i++) {
      const a = this.xy[2 * i] * scale + dx - x;
      const b = this.xy[2 * i + 1] * scale + dy - y;
      if (a * a + b * b <= this.brush * this.brush) chosen[i] = value;
    }
    this.select(chosen);
  }
}

function inside(x, y, corners) {
  let odd = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [ax, ay] = corners[i];
    const [bx, by] = corners[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

// Offsets and coverage of the pixels of a disc, so that its edge is smooth.
function disc(radius) {
  const out = [];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const covered = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (covered > 0.02) out.push(x, y, covered);
    }
  }
  return out;
}
