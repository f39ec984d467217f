// Small parts of the page: elements, tables, numbers as people read them. Texts are set as text, never as markup.
export const count = (n) => n.toLocaleString("en");
export const percent = (p) => (p >= 0.995 && p < 1 ? ">99 %" : `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`);

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function dot(colour) {
  const made = h("span", { class: "sb-dot", "aria-hidden": "true" });
  made.style.background = colour;
  return made;
}

export function evidence(table, name) {
  const cell = (value) =>
    typeof value === "number"
      ? Number.isInteger(value)
        ? count(value)
        : value !== 0 && Math.abs(value) < 0.001
          ? value.toExponential(1)
          : String(Number(value.toPrecision(3)))
      : value === null
        ? ""
        : value === true
          ? "yes"
          : value === false
            ? "no"
            : value;
  const more =
    table.n > table.rows.length
      ? [h("p", { class: "sb-note" }, `the first ${table.rows.length} of ${count(table.n)} rows`)]
      : [];
  return [
    h(
      "details",
      { open: "" },
      h("summary", {}, `${name} (${count(table.n)})`),
      h(
        "div",
        { class: "sb-table", tabindex: "0" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ...table.columns.map((one) => h("th", {}, one.replaceAll("_", " "))))),
          h(
            "tbody",
            {},
            ...table.rows.map((row) =>
              h(
                "tr",
                {},
                ...row.map((value) => h("td", typeof value === "number" ? { class: "sb-number" } : {}, cell(value))),
              ),
            ),
          ),
        ),
      ),
      ...more,
    ),
  ];
}
