// The page: a map, what it is coloured by, a selection, questions, corrections. `mount` is given a way to call actions
// and needs no server by itself. Whatever comes from the data is set as text, never as markup.
import { layout } from "./layout.js";
import { count, dot, evidence, h, percent } from "./parts.js";
import { Scatter } from "./scatter.js";
import { bits, bounds, packed, ramp, unpacked } from "./values.js";

const MISSING = "#c4c4c4";
const ZERO = "#dcdcdc"; // a cell in which a gene was not seen

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

  // ------------------------------------------------------------------ what it listens to

  #build() {
    const { page, at } = layout();
    this.at = at;
    this.root.classList.add("sb-root");
    this.root.replaceChildren(page);
    const on = (name, event, what) => at[name].addEventListener(event, what);
    on("undo", "click", () => this.#change("undo"));
    on("redo", "click", () => this.#change("redo"));
    on("save", "click", () => this.#download());
    for (const mode of ["lasso", "move"]) on(mode, "click", () => this.#setMode(mode));
    on("in", "click", () => this.map.zoom(1.4));
    on("out", "click", () => this.map.zoom(1 / 1.4));
    on("fit", "click", () => this.map.fit());
    on("clear", "click", () => this.map.clear());
    on("by", "change", () => this.#colour(at.by.value));
    on("gene", "input", () => this.#suggest());
    on("gene", "change", () => at.gene.value.trim() && this.#colour(`gene:${at.gene.value.trim()}`));
    on("form", "submit", (event) => this.#correct(event));
    on("asking", "submit", (event) => this.#ask(event));
    this.map = new Scatter(at.canvas, {
      onSelect: (selected, n) => this.#selected(selected, n),
      onHover: (i, x, y) => this.#hover(i, x, y),
      onSay: (text) => (at.chosen.textContent = text),
    });
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.tagName === "INPUT")
        return;
      event.preventDefault();
      this.#change(event.shiftKey ? "redo" : "undo");
    });
    at.save.hidden = !this.save;
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
    at.by.replaceChildren(
      h("option", { value: "label" }, found.label_name),
      ...found.columns.map((one) => h("option", { value: one.by }, one.name)),
    );
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
    at.save.classList.toggle("sb-due", found.unsaved);
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
    if (by.startsWith("gene:"))
      at.by.prepend(h("option", { value: by, "data-gene": "" }, `Gene ${this.known.get(by).name}`));
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
      this.map.setColours(
        Uint32Array.from(one.values, (value) =>
          Number.isNaN(value)
            ? none
            : one.gene && value === 0
              ? zero
              : steps[Math.min(255, Math.max(0, Math.round((255 * (value - one.low)) / span)))],
        ),
      );
    }
    this.#legend();
  }

  #legend() {
    const groups = this.#groups();
    if (groups) {
      const rows = groups.names.map((name, i) => [name, i]).filter(([, i]) => groups.counts[i] || groups.own);
      this.at.legend.replaceChildren(
        h(
          "div",
          { class: "sb-list", role: "group", "aria-label": "Groups: choose one to select its cells" },
          ...rows.map(([name, i]) =>
            h(
              "button",
              {
                type: "button",
                class: "sb-item",
                title: "Select its cells; with Shift or Ctrl add them",
                onclick: (event) => this.#pick(groups, i, event.shiftKey || event.ctrlKey || event.metaKey),
              },
              dot(groups.colours[i]),
              h("span", { class: "sb-what" }, name),
              h("span", { class: "sb-n" }, count(groups.counts[i])),
            ),
          ),
        ),
      );
      return;
    }
    const one = this.known.get(this.by);
    const bar = h("canvas", { width: 256, height: 1, class: "sb-bar", "aria-hidden": "true" });
    const image = bar.getContext("2d").createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(ramp(256).map((colour) => (colour | 0xff000000) >>> 0));
    bar.getContext("2d").putImageData(image, 0, 0);
    const shown = (value) => String(Number(value.toPrecision(3)));
    const absent = one.values.reduce((sum, value) => sum + (one.gene ? value === 0 : Number.isNaN(value)), 0);
    this.at.legend.replaceChildren(
      h("p", { class: "sb-scale" }, h("b", {}, one.name), one.unit ? `, ${one.unit}` : ""),
      bar,
      h("p", { class: "sb-ends" }, h("span", {}, shown(one.low)), h("span", {}, shown(one.high))),
      ...(absent
        ? [
            h(
              "p",
              { class: "sb-note" },
              dot(one.gene ? ZERO : MISSING),
              ` ${one.gene ? "not seen" : "no value"} in ${count(absent)} cells`,
            ),
          ]
        : []),
    );
  }

  #groups() {
    if (this.by === "label") {
      const { labels } = this.state;
      return {
        own: true,
        names: labels.map((one) => one.name),
        colours: labels.map((one) => one.colour),
        counts: labels.map((one) => one.n),
        codes: this.codes,
      };
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
    at.chosen.textContent = n
      ? `${count(n)} of ${count(this.n)} cells selected`
      : "None. Draw around cells on the map, or choose a group above.";
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
    const rows = counts
      .map((its, i) => [its, i])
      .filter(([its]) => its)
      .sort((a, b) => b[0] - a[0])
      .slice(0, 6);
    this.at.mix.replaceChildren(
      ...rows.map(([its, i]) =>
        this.#bar(
          this.state.labels[i].name,
          its / n,
          `${count(its)} · ${percent(its / n)}`,
          this.state.labels[i].colour,
        ),
      ),
    );
  }

  #bar(name, share, said, colour = "#5b6b8c") {
    const fill = h("span", { class: "sb-fill" });
    fill.style.width = `${100 * share}%`;
    fill.style.background = colour;
    return h(
      "div",
      { class: "sb-share" },
      h("span", { class: "sb-what", title: name }, name),
      h("span", { class: "sb-n" }, said),
      h("span", { class: "sb-track" }, fill),
    );
  }

  #hover(i, x, y) {
    const { tip } = this.at;
    tip.hidden = i < 0;
    if (i < 0) return;
    const code = this.codes[i];
    const lines = [code < 0 ? "no label" : this.state.labels[code].name];
    const one = this.known.get(this.by);
    if (one) lines.push(`${one.name}: ${said(one, i)}`);
    tip.replaceChildren(...lines.map((line) => h("div", {}, line)));
    tip.style.left = `${Math.min(x + 14, this.map.width - 170)}px`;
    tip.style.top = `${Math.max(4, y - 34)}px`;
  }

  async #facts(name) {
    const found = await this.#call("label", { name });
    if (!found) return;
    const { facts } = this.at;
    facts.replaceChildren(
      h("h3", {}, name),
      ...(found.cl_id ? [h("p", { class: "sb-note" }, `${found.cl_id}, ${found.term}`)] : []),
    );
    if (found.reason) facts.append(h("p", {}, found.reason));
    if (found.alternatives.length)
      facts.append(
        h("h4", {}, "What else, by mean probability"),
        ...found.alternatives.map((one) => this.#bar(one.name, one.probability, percent(one.probability))),
      );
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
    const said = {
      correct: "got another label",
      undo: "have the label before again",
      redo: "have the new label again",
    }[action];
    this.at.chosen.textContent =
      found.changed || action === "correct"
        ? `${count(found.changed)} cells ${said}${found.term ? ` (${found.term})` : ""}.`
        : "There is nothing to take back.";
  }

  async #download() {
    const { at, state } = this;
    at.save.disabled = true;
    this.#busy(1);
    try {
      await this.save();
      state.unsaved = false; // what was corrected meanwhile, in another state, may not be in the file
      at.save.classList.toggle("sb-due", this.state.unsaved);
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
    const entry = h(
      "article",
      {},
      h(
        "p",
        { class: "sb-q" },
        question,
        only ? h("span", { class: "sb-note" }, ` (${count(this.map.count)} selected cells)`) : "",
      ),
      h("p", { class: "sb-a" }, "…"),
    );
    at.talk.append(entry);
    at.talk.scrollTop = at.talk.scrollHeight;
    const found = await this.#call("ask", { question, cells: only ? bits(this.map.selected) : null });
    at.send.disabled = false;
    if (!found) return entry.remove();
    at.question.value = "";
    const refused = found.kind === "refusal";
    entry.lastChild.replaceWith(
      h("p", { class: refused ? "sb-a sb-refused" : "sb-a" }, found.text),
      h(
        "p",
        { class: "sb-note" },
        refused
          ? "Not answered."
          : found.computed
            ? "Computed from the data."
            : "Not all of it was computed from the data.",
      ),
      ...(found.evidence.n ? evidence(found.evidence, "Evidence") : []),
      ...(found.understood
        ? [
            h(
              "details",
              {},
              h("summary", {}, "What was understood"),
              h("pre", {}, JSON.stringify(found.understood, null, 1)),
            ),
          ]
        : []),
    );
    entry.scrollIntoView({ block: "nearest" });
  }
}

// What a row holds of that by which the map is coloured.
function said(one, i) {
  const value = one.values[i];
  if (one.kind === "group") return one.names[value] ?? "none";
  return Number.isNaN(value) ? "none" : String(Number(value.toPrecision(3)));
}
