// The page: a map, what it is coloured by, a selection, questions, corrections. `mount` is given a way to call actions
// and needs no server by itself. Whatever comes from the data is set as text, never as markup.
import { Scatter } from "./scatter.js";

const KINDS = { f4: Float32Array, i4: Int32Array };
const MISSING = "#c4c4c4";
// Viridis at nine points (matplotlib's, CC0), which grey print and colour blindness leave in order.
const RAMP = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const ZERO = "#dcdcdc"; // a cell in which a gene was not seen

const count = (n) => n.toLocaleString("en");
const percent = (p) => (p >= 0.995 && p < 1 ? ">99 %" : `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`);

let pages = 0;

// `call(action, args)` returns what an action does; `save()` hands out the file, where there is a way to.
export function mount(root, { call, save = null }) {
  const page = new Page(root, call, save);
  page.open();
  return page;
}

class Page {
  constructor(root, call, save) {
    Object.assign(this, { root, callServer: call, save });
    this.by = "label";
    this.known = new Map(); // values by what they are of
    this.#build();
  }

  // ------------------------------------------------------------------ what is on it

  #build() {
    const part = (this.at = {});
    const genes = `sb-genes-${++pages}`;
    const labels = `sb-labels-${pages}`;
    this.root.classList.add("sb-root");
    const button = (name, text, what, title = "") =>
      (part[name] = h("button", { type: "button", title, onclick: what }, text));
    const tool = (mode, text, title) => {
      const one = button(mode, text, () => this.#setMode(mode), title);
      one.setAttribute("aria-pressed", String(mode === "lasso"));
      return one;
    };
    this.root.replaceChildren(
      h("div", { class: "sb-page" },
        h("header", {},
          h("div", { class: "sb-name" }, h("h1", {}, (part.title = h("span", {}, "scbioverse"))), (part.size = h("p", {}))),
          h("div", { class: "sb-row" },
            (part.busy = h("p", { class: "sb-busy", role: "status", hidden: "" }, "Working …")),
            button("undo", "Undo", () => this.#change("undo"), "Take the last correction back (Ctrl+Z)"),
            button("redo", "Redo", () => this.#change("redo"), "Make it again (Ctrl+Shift+Z)"),
            (part.save = h("button", { type: "button", class: "sb-main", onclick: () => this.#download() }, "Download")))),
        h("main", {},
          h("section", { class: "sb-stage", "aria-label": "Map of the cells" },
            h("div", { class: "sb-tools", role: "toolbar", "aria-label": "Map" },
              tool("lasso", "Lasso", "Draw around cells. Shift adds, Alt removes"), tool("move", "Move", "Drag the map"),
              button("in", "+", () => this.map.zoom(1.4), "Closer (+)"), button("out", "−", () => this.map.zoom(1 / 1.4), "Farther (-)"),
              button("fit", "Fit", () => this.map.fit(), "All cells (0)"), button("clear", "Clear", () => this.map.clear(), "Select nothing (Esc)"),
              h("details", { class: "sb-keys" }, h("summary", {}, "Keys"),
                h("ul", {}, ...["Arrows move a pointer on the map, with Shift faster", "Space selects the cells in its circle, Backspace lets them go", "[ and ] change the circle", "Enter sets a corner of a line, C closes it", "+, − and 0 zoom, Esc clears"].map((one) => h("li", {}, one))))),
            h("div", { class: "sb-map" }, (part.canvas = h("canvas", {})),
              (part.over = h("canvas", { class: "sb-over", tabindex: "0", role: "application", "aria-label": "Map. Arrow keys move a pointer, Space selects around it, Enter sets corners of a line, C closes it." })),
              (part.tip = h("div", { class: "sb-tip", hidden: "" })), (part.wait = h("p", { class: "sb-wait" }, "Opening …")))),
          h("div", { class: "sb-side" },
            (part.error = h("p", { class: "sb-error", role: "alert", hidden: "" })),
            panel("Colour",
              h("div", { class: "sb-row" },
                (part.by = h("select", { "aria-label": "Colour by", onchange: () => this.#colour(part.by.value) })),
                (part.gene = h("input", { placeholder: "Gene, e.g. CD3E", "aria-label": "Gene", list: genes, autocomplete: "off", spellcheck: "false", maxlength: "40",
                  oninput: () => this.#suggest(), onchange: () => part.gene.value.trim() && this.#colour(`gene:${part.gene.value.trim()}`) })),
                (part.genes = h("datalist", { id: genes }))),
              (part.legend = h("div", { class: "sb-legend" }))),
            panel("Selection",
              (part.chosen = h("p", { class: "sb-chosen", role: "status" })), (part.mix = h("div", { class: "sb-mix" })),
              (part.form = h("form", { class: "sb-row", onsubmit: (event) => this.#correct(event) },
                (part.label = h("input", { placeholder: "New label for these cells", "aria-label": "New label", list: labels, autocomplete: "off", maxlength: "120" })),
                (part.labels = h("datalist", { id: labels })), (part.set = h("button", {}, "Set label")))),
              (part.facts = h("div", { class: "sb-facts" }))),
            panel("Ask",
              (part.talk = h("div", { class: "sb-talk", role: "log", "aria-live": "polite" })),
              h("form", { onsubmit: (event) => this.#ask(event) },
                h("div", { class: "sb-row" },
                  (part.question = h("input", { "aria-label": "Question", maxlength: "400", autocomplete: "off" })),
                  (part.send = h("button", { class: "sb-main" }, "Ask"))),
                h("label", { class: "sb-check" }, (part.only = h("input", { type: "checkbox" })), " about the selected cells only")))))),
    );
    this.map = new Scatter(part.canvas, {
      onSelect: (selected, n) => this.#selected(selected, n),
      onHover: (i, x, y) => this.#hover(i, x, y),
      onSay: (text) => (part.chosen.textContent = text),
    });
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.tagName === "INPUT") return;
      event.preventDefault();
      this.#change(event.shiftKey ? "redo" : "undo");
    });
    part.save.hidden = !this.save;
    if (!this.save) return;
    window.addEventListener("beforeunload", (event) => {
      if (this.state && this.state.unsaved) event.preventDefault();
    });
  }

  async #call(action, args) {
    this.at.error.hidden = true;
    this.#busy(1);
    try {
      return await this.callServer(action, args);
    } catch (error) {
      this.at.error.textContent = error.message;
      this.at.error.hidden = false;
      this.at.error.scrollIntoView({ block: "nearest" });
      return null;
    } finally {
      this.#busy(-1);
    }
  }

  // What takes longer than a moment says so.
  #busy(more) {
    this.asked = (this.asked || 0) + more;
    clearTimeout(this.soon);
    if (!this.asked) this.at.busy.hidden = true;
    else this.soon = setTimeout(() => (this.at.busy.hidden = false), 300);
  }

  async open() {
    const found = await this.#call("open");
    this.at.wait.hidden = true;
    if (!found) return;
    const { at } = this;
    this.n = found.n;
    this.columns = found.columns;
    at.title.textContent = found.title || "scbioverse";
    if (found.title && this.save) document.title = `${found.title} · scbioverse`;
    this.about = `${count(found.n)} cells · ${found.map}`;
    at.by.replaceChildren(h("option", { value: "label" }, found.label_name),
      ...found.columns.map((one) => h("option", { value: one.by }, one.name)));
    this.map.setPoints(unpacked(found.points));
    this.#take(found);
    this.#selected(this.map.selected, 0);
    this.root.dataset.open = "1";
  }

  // What every change of labels returns.
  #take(found) {
    this.state = found;
    this.codes = unpacked(found.codes);
    const { at } = this;
    at.undo.disabled = !found.undo;
    at.redo.disabled = !found.redo;
    at.size.textContent = this.about + (found.corrected ? ` · ${count(found.corrected)} corrected` : "");
    at.save.classList.toggle("sb-due", found.unsaved > 0);
    at.labels.replaceChildren(...found.labels.map((one) => h("option", { value: one.name })));
    if (this.by === "label") this.#paintLabels();
    else this.#legend();
    this.#mix();
  }

  // ------------------------------------------------------------------ colour

  async #colour(by, again = false) {
    const { at } = this;
    if (by !== "label" && (again || !this.known.has(by))) {
      const found = await this.#call("values", { by });
      if (!found) return;
      this.known.set(by, { ...found, values: unpacked(found.values) });
      if (this.known.size > 40) this.known.delete(this.known.keys().next().value);
    }
    this.by = by;
    if (!by.startsWith("gene:")) at.gene.value = "";
    at.by.querySelector("option[data-gene]")?.remove();
    if (by.startsWith("gene:")) at.by.prepend(h("option", { value: by, "data-gene": "" }, `Gene ${this.known.get(by).name}`));
    at.by.value = by;
    if (by === "label") this.#paintLabels();
    else this.#paintValues(this.known.get(by));
  }

  #paintLabels() {
    const palette = this.state.labels.map((one) => packed(one.colour));
    const none = packed(MISSING);
    this.map.setColours(Uint32Array.from(this.codes, (code) => (code < 0 ? none : palette[code])));
    this.#legend();
  }

  #paintValues(one) {
    const none = packed(MISSING);
    if (one.kind === "group") {
      const palette = one.colours.map(packed);
      this.map.setColours(Uint32Array.from(one.values, (code) => (code < 0 ? none : palette[code])));
    } else {
      [one.low, one.high] = bounds(one.values, one.gene);
      const steps = ramp(256);
      const zero = packed(ZERO);
      const span = one.high - one.low || 1;
      this.map.setColours(Uint32Array.from(one.values, (value) =>
        Number.isNaN(value) ? none : one.gene && value === 0 ? zero
          : steps[Math.min(255, Math.max(0, Math.round((255 * (value - one.low)) / span)))]));
    }
    this.#legend();
  }

  #legend() {
    const groups = this.#groups();
    if (groups) {
      const rows = groups.names.map((name, i) => [name, i]).filter(([, i]) => groups.counts[i] || groups.own);
      this.at.legend.replaceChildren(h("div", { class: "sb-list", role: "group", "aria-label": "Groups: choose one to select its cells" },
        ...rows.map(([name, i]) => h("button", { type: "button", class: "sb-item", title: "Select its cells; with Shift or Ctrl add them",
          onclick: (event) => this.#pick(groups, i, event.shiftKey || event.ctrlKey || event.metaKey) },
          dot(groups.colours[i]), h("span", { class: "sb-what" }, name), h("span", { class: "sb-n" }, count(groups.counts[i]))))));
      return;
    }
    const one = this.known.get(this.by);
    const bar = h("canvas", { width: 256, height: 1, class: "sb-bar", "aria-hidden": "true" });
    const image = bar.getContext("2d").createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(ramp(256).map((colour) => (colour | 0xff000000) >>> 0));
    bar.getContext("2d").putImageData(image, 0, 0);
    const shown = (value) => String(Number(value.toPrecision(3)));
    const absent = one.values.reduce((sum, value) => sum + (one.gene ? value === 0 : Number.isNaN(value)), 0);
    this.at.legend.replaceChildren(h("p", { class: "sb-scale" }, h("b", {}, one.name), one.unit ? `, ${one.unit}` : ""), bar,
      h("p", { class: "sb-ends" }, h("span", {}, shown(one.low)), h("span", {}, shown(one.high))),
      ...(absent ? [h("p", { class: "sb-note" }, dot(one.gene ? ZERO : MISSING), ` ${one.gene ? "not seen" : "no value"} in ${count(absent)} cells`)] : []));
  }

  #groups() {
    if (this.by === "label") {
      const { labels } = this.state;
      return { own: true, names: labels.map((one) => one.name), colours: labels.map((one) => one.colour), counts: labels.map((one) => one.n), codes: this.codes };
    }
    const one = this.known.get(this.by);
    if (one.kind !== "group") return null;
    const counts = one.names.map(() => 0);
    for (const code of one.values) if (code >= 0) counts[code]++;
    return { names: one.names, colours: one.colours, counts, codes: one.values };
  }

  #suggest() {
    clearTimeout(this.typing);
    const start = this.at.gene.value.trim();
    if (!start) return;
    this.typing = setTimeout(async () => {
      const found = await this.#call("genes", { start });
      if (found) this.at.genes.replaceChildren(...found.genes.map((name) => h("option", { value: name })));
    }, 150);
  }

  // ------------------------------------------------------------------ selection

  #setMode(mode) {
    this.map.mode = mode;
    for (const one of ["lasso", "move"]) this.at[one].setAttribute("aria-pressed", String(one === mode));
    this.at.over.classList.toggle("sb-moving", mode === "move");
  }

  #pick(groups, i, more) {
    const chosen = more ? this.map.selected.slice() : new Uint8Array(this.n);
    for (let k = 0; k < this.n; k++) if (groups.codes[k] === i) chosen[k] = 1;
    this.map.select(chosen);
    if (groups.own && !more) this.#facts(groups.names[i]);
  }

  #selected(selected, n) {
    const { at } = this;
    at.chosen.textContent = n ? `${count(n)} of ${count(this.n)} cells selected` : "None. Draw around cells on the map, or choose a group above.";
    at.form.hidden = !n;
    at.only.disabled = !n;
    at.question.placeholder = n ? "Which genes mark these cells?" : "How many cells of each type are there?";
    at.only.checked = n > 0 && at.only.checked;
    at.facts.replaceChildren();
    this.#mix();
  }

  // Which labels the selected cells have.
  #mix() {
    const { count: n, selected } = this.map;
    const counts = this.state.labels.map(() => 0);
    if (n) for (let i = 0; i < this.n; i++) if (selected[i] && this.codes[i] >= 0) counts[this.codes[i]]++;
    const rows = counts.map((its, i) => [its, i]).filter(([its]) => its).sort((a, b) => b[0] - a[0]).slice(0, 6);
    this.at.mix.replaceChildren(...rows.map(([its, i]) => this.#bar(this.state.labels[i].name, its / n, `${count(its)} · ${percent(its / n)}`, this.state.labels[i].colour)));
  }

  #bar(name, share, said, colour = "#5b6b8c") {
    const fill = h("span", { class: "sb-fill" });
    fill.style.width = `${100 * share}%`;
    fill.style.background = colour;
    return h("div", { class: "sb-share" }, h("span", { class: "sb-what", title: name }, name), h("span", { class: "sb-n" }, said), h("span", { class: "sb-track" }, fill));
  }

  #hover(i, x, y) {
    const { tip } = this.at;
    tip.hidden = i < 0;
    if (i < 0) return;
    const code = this.codes[i];
    const lines = [code < 0 ? "no label" : this.state.labels[code].name];
    const one = this.known.get(this.by);
    if (one) lines.push(`${one.name}: ${one.kind === "group" ? (one.names[one.values[i]] ?? "none") : Number.isNaN(one.values[i]) ? "none" : Number(one.values[i].toPrecision(3))}`);
    tip.replaceChildren(...lines.map((line) => h("div", {}, line)));
    tip.style.left = `${Math.min(x + 14, this.map.width - 170)}px`;
    tip.style.top = `${Math.max(4, y - 34)}px`;
  }

  async #facts(name) {
    const found = await this.#call("label", { name });
    if (!found) return;
    const { facts } = this.at;
    facts.replaceChildren(h("h3", {}, name), ...(found.cl_id ? [h("p", { class: "sb-note" }, `${found.cl_id}, ${found.term}`)] : []));
    if (found.reason) facts.append(h("p", {}, found.reason));
    if (found.alternatives.length) facts.append(h("h4", {}, "What else, by mean probability"), ...found.alternatives.map((one) => this.#bar(one.name, one.probability, percent(one.probability))));
    if (found.evidence.n) facts.append(...evidence(found.evidence, "Evidence, as annotated"));
  }

  // ------------------------------------------------------------------ corrections

  async #correct(event) {
    event.preventDefault();
    const label = this.at.label.value.trim();
    if (!label) return this.at.label.focus();
    await this.#change("correct", { label, cells: bits(this.map.selected) });
  }

  async #change(action, args = {}) {
    const found = await this.#call(action, args);
    if (!found) return;
    // Confidence and what else hangs on a label may have changed with it.
    for (const by of [...this.known.keys()]) if (by.startsWith("obs:") && by !== this.by) this.known.delete(by);
    this.#take(found);
    this.at.facts.replaceChildren();
    if (this.by.startsWith("obs:")) await this.#colour(this.by, true);
    if (action === "correct") this.at.label.value = "";
    const said = { correct: "got another label", undo: "have the label before again", redo: "have the new label again" }[action];
    this.at.chosen.textContent = found.changed || action === "correct" ? `${count(found.changed)} cells ${said}.` : "There is nothing to take back.";
  }

  async #download() {
    const { at } = this;
    at.save.disabled = true;
    this.#busy(1);
    try {
      await this.save();
      this.state.unsaved = 0;
      at.save.classList.remove("sb-due");
    } catch (error) {
      at.error.textContent = error.message;
      at.error.hidden = false;
    }
    at.save.disabled = false;
    this.#busy(-1);
  }

  // ------------------------------------------------------------------ questions

  async #ask(event) {
    event.preventDefault();
    const { at } = this;
    const question = at.question.value.trim();
    if (!question || at.send.disabled) return;
    // "These cells" are those that are selected, where some are.
    const only = (at.only.checked ||= this.map.count > 0 && /\bthese\b/i.test(question));
    at.send.disabled = true;
    const entry = h("article", {}, h("p", { class: "sb-q" }, question, only ? h("span", { class: "sb-note" }, ` (${count(this.map.count)} selected cells)`) : ""), h("p", { class: "sb-a" }, "…"));
    at.talk.append(entry);
    at.talk.scrollTop = at.talk.scrollHeight;
    const found = await this.#call("ask", { question, cells: only ? bits(this.map.selected) : null });
    at.send.disabled = false;
    if (!found) return entry.remove();
    at.question.value = "";
    const refused = found.kind === "refusal";
    entry.lastChild.replaceWith(
      h("p", { class: refused ? "sb-a sb-refused" : "sb-a" }, found.text),
      h("p", { class: "sb-note" }, refused ? "Not answered." : found.computed ? "Computed from the data." : "Not all of it was computed from the data."),
      ...(found.evidence.n ? evidence(found.evidence, "Evidence") : []),
      ...(found.understood ? [h("details", {}, h("summary", {}, "What was understood"), h("pre", {}, JSON.stringify(found.understood, null, 1)))] : []));
    entry.scrollIntoView({ block: "nearest" });
  }
}

// ------------------------------------------------------------------ small parts

function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function panel(name, ...children) {
  return h("section", { class: "sb-panel", "aria-label": name }, h("h2", {}, name), ...children);
}

function dot(colour) {
  const made = h("span", { class: "sb-dot", "aria-hidden": "true" });
  made.style.background = colour;
  return made;
}

function evidence(table, name) {
  const cell = (value) => (typeof value === "number" ? (Number.isInteger(value) ? count(value) : value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)))) : value === null ? "" : value === true ? "yes" : value === false ? "no" : value);
  const more = table.n > table.rows.length ? [h("p", { class: "sb-note" }, `the first ${table.rows.length} of ${count(table.n)} rows`)] : [];
  return [h("details", { open: "" }, h("summary", {}, `${name} (${count(table.n)})`),
    h("div", { class: "sb-table", tabindex: "0" }, h("table", {},
      h("thead", {}, h("tr", {}, ...table.columns.map((one) => h("th", {}, one.replaceAll("_", " "))))),
      h("tbody", {}, ...table.rows.map((row) => h("tr", {}, ...row.map((value) => h("td", typeof value === "number" ? { class: "sb-number" } : {}, cell(value)))))))), ...more)];
}

function unpacked({ dtype, base64 }) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new KINDS[dtype](bytes.buffer);
}

// One bit a cell, the first the most significant of its byte.
function bits(selected) {
  const bytes = new Uint8Array(Math.ceil(selected.length / 8));
  for (let i = 0; i < selected.length; i++) if (selected[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

function packed(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return (b << 16) | (g << 8) | r;
}

function ramp(n) {
  const at = (i, shift) => parseInt(RAMP[i].slice(shift, shift + 2), 16);
  return Uint32Array.from({ length: n }, (_, k) => {
    const place = ((RAMP.length - 1) * k) / (n - 1);
    const i = Math.min(RAMP.length - 2, Math.floor(place));
    const [r, g, b] = [1, 3, 5].map((shift) => Math.round(at(i, shift) + (at(i + 1, shift) - at(i, shift)) * (place - i)));
    return (b << 16) | (g << 8) | r;
  });
}

// The ends of the scale: of a gene from zero to its 99th percentile where it was seen, else the whole range.
function bounds(values, gene) {
  const held = values.filter((value) => !Number.isNaN(value) && (!gene || value > 0)).sort();
  if (!held.length) return [0, 1];
  return gene ? [0, held[Math.floor(0.99 * (held.length - 1))]] : [held[0], held[held.length - 1]];
}
