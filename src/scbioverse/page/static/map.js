"use strict";
// A map of cells, coloured by one of several columns, with a legend of buttons. Plotly draws the points.
const NO_VALUE = 65535;
const VIRIDIS = [[0, "#440154"], [0.25, "#3b528b"], [0.5, "#21918c"], [0.75, "#5ec962"], [1, "#fde725"]];

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
}

function hasWebGL() {
  try {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl"));
  } catch (error) {
    return false;
  }
}

class CellMap {
  // `facts`: {x, y, axis, colourings}.
  constructor(box, legend, facts) {
    Object.assign(this, { box, legend, facts });
    this.x = unpack(facts.x);
    this.y = unpack(facts.y);
    // Drawn as shapes where few: sharp, and at hand where there is no WebGL.
    this.kind = this.x.length > 3000 && hasWebGL() ? "scattergl" : "scatter";
    this.size = Math.max(2, Math.min(7, 300 / Math.sqrt(this.x.length)));
    this.hidden = new Set();
  }

  show(colouring) {
    this.colouring = colouring;
    this.codes = unpack(colouring.codes);
    this.hidden.clear();
    this.explain();
    return this.draw();
  }

  traces() {
    const { codes, colouring } = this;
    const parts = new Map();
    for (let row = 0; row < codes.length; row += 1) {
      const part = colouring.kind === "names" || codes[row] === NO_VALUE ? codes[row] : 0;
      if (!parts.has(part)) parts.set(part, []);
      parts.get(part).push(row);
    }
    return [...parts].sort((a, b) => b[1].length - a[1].length).map(([part, rows]) => {
      const absent = part === NO_VALUE;
      const names = colouring.kind === "names";
      const scale = (row) => colouring.low + (codes[row] / 1000) * (colouring.high - colouring.low);
      const colour = absent ? "#d0d0d0" : names ? colouring.hues[part] : rows.map(scale);
      const name = absent ? "no value" : names ? colouring.names[part] : colouring.name;
      // Plotly reads a few tags in texts: what is a name must stay one.
      const shown = name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      return {
        type: this.kind, mode: "markers", name: shown,
        x: rows.map((row) => this.x[row]), y: rows.map((row) => this.y[row]),
        visible: !this.hidden.has(part),
        marker: {
          size: this.size, opacity: 0.85, color: colour,
          ...(names || absent ? {} : { colorscale: VIRIDIS, cmin: colouring.low, cmax: colouring.high }),
        },
        hovertemplate: names || absent ? `${shown}<extra></extra>` : `${colouring.name.replaceAll("<", "&lt;")} %{marker.color:.3~f}<extra></extra>`,
      };
    });
  }

  draw() {
    const axis = (name) => ({
      title: { text: name, font: { size: 11, color: "#666" } }, showgrid: false, zeroline: false, showticklabels: false,
    });
    const layout = {
      margin: { l: 26, r: 6, t: 6, b: 26 }, showlegend: false, hovermode: "closest", uirevision: "map",
      dragmode: "pan", paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      xaxis: axis(`${this.facts.axis} 1`), yaxis: { ...axis(`${this.facts.axis} 2`), scaleanchor: "x" },
    };
    const options = {
      responsive: true, displaylogo: false, scrollZoom: true,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    return Plotly.react(this.box, this.traces(), layout, options);
  }

  explain() {
    this.legend.replaceChildren();
    const { colouring } = this;
    if (colouring.kind === "numbers") {
      const item = document.createElement("li");
      const ramp = document.createElement("div");
      ramp.className = "ramp";
      const ends = document.createElement("div");
      ends.className = "bar faint";
      const text = (value) => { const one = document.createElement("span"); one.textContent = Number(value.toPrecision(3)); return one; };
      ends.append(text(colouring.low), "to", text(colouring.high));
      item.append(ramp, ends);
      this.legend.append(item);
      return;
    }
    const order = colouring.names.map((_, part) => part).sort((a, b) => colouring.counts[b] - colouring.counts[a]);
    for (const part of order) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Show or hide these cells";
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = colouring.hues[part];
      const name = document.createElement("span");
      name.textContent = colouring.names[part];
      const n = document.createElement("span");
      n.className = "n";
      n.textContent = colouring.counts[part].toLocaleString("en");
      button.append(dot, name, n);
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        if (!this.hidden.delete(part)) this.hidden.add(part);
        button.setAttribute("aria-pressed", String(!this.hidden.has(part)));
        this.draw();
      });
      item.append(button);
      this.legend.append(item);
    }
  }
}

function fillSelect(select, names) {
  select.replaceChildren(...names.map((name, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = name;
    return option;
  }));
}
