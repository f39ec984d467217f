// What is on the page before anything is known of the data. Nothing of the data enters this text.
const LAYOUT = `
<div class="sb-page">
  <header>
    <div class="sb-name"><h1 data-at="title">scbioverse</h1><p data-at="size"></p></div>
    <div class="sb-row">
      <p data-at="busy" class="sb-busy" role="status" hidden>Working …</p>
      <button data-at="undo" type="button" title="Take the last correction back (Ctrl+Z)" disabled>Undo</button>
      <button data-at="redo" type="button" title="Make it again (Ctrl+Shift+Z)" disabled>Redo</button>
      <button data-at="save" type="button" class="sb-main">Download</button>
    </div>
  </header>
  <main>
    <section class="sb-stage" aria-label="Map of the cells">
      <div class="sb-tools" role="toolbar" aria-label="Map">
        <button data-at="lasso" type="button" aria-pressed="true"
          title="Draw around cells. Shift adds, Alt removes">Lasso</button>
        <button data-at="move" type="button" aria-pressed="false" title="Drag the map">Move</button>
        <button data-at="in" type="button" title="Closer (+)">+</button>
        <button data-at="out" type="button" title="Farther (-)">−</button>
        <button data-at="fit" type="button" title="All cells (0)">Fit</button>
        <button data-at="clear" type="button" title="Select nothing (Esc)">Clear</button>
        <details class="sb-keys">
          <summary>Keys</summary>
          <ul>
            <li>Arrows move a pointer on the map, with Shift faster</li>
            <li>Space selects the cells in its circle, Backspace lets them go</li>
            <li>[ and ] change the circle</li>
            <li>Enter sets a corner of a line, C closes it</li>
            <li>+, − and 0 zoom, Esc clears</li>
          </ul>
        </details>
      </div>
      <div class="sb-map">
        <canvas data-at="canvas"></canvas>
        <canvas data-at="over" class="sb-over" tabindex="0" role="application"
          aria-label="Map. Arrows move a pointer, Space selects around it, Enter sets corners of a line, C closes it."
        ></canvas>
        <div data-at="tip" class="sb-tip" hidden></div>
        <p data-at="wait" class="sb-wait">Opening …</p>
      </div>
    </section>
    <div class="sb-side">
      <p data-at="error" class="sb-error" role="alert" hidden></p>
      <section class="sb-panel" aria-label="Colour">
        <h2>Colour</h2>
        <div class="sb-row">
          <select data-at="by" aria-label="Colour by"></select>
          <input data-at="gene" placeholder="Gene, e.g. CD3E" aria-label="Gene" list="sb-genes" autocomplete="off"
            spellcheck="false" maxlength="40">
          <datalist data-at="genes" id="sb-genes"></datalist>
        </div>
        <div data-at="legend" class="sb-legend"></div>
      </section>
      <section class="sb-panel" aria-label="Selection">
        <h2>Selection</h2>
        <p data-at="chosen" class="sb-chosen" role="status"></p>
        <div data-at="mix" class="sb-mix"></div>
        <form data-at="form" class="sb-row" hidden>
          <input data-at="label" placeholder="New label for these cells" aria-label="New label" list="sb-labels"
            autocomplete="off" maxlength="120">
          <datalist data-at="labels" id="sb-labels"></datalist>
          <button>Set label</button>
        </form>
        <div data-at="facts" class="sb-facts"></div>
      </section>
      <section class="sb-panel" aria-label="Ask">
        <h2>Ask</h2>
        <div data-at="talk" class="sb-talk" role="log" aria-live="polite"></div>
        <form data-at="asking">
          <div class="sb-row">
            <input data-at="question" aria-label="Question" maxlength="400" autocomplete="off">
            <button data-at="send" class="sb-main">Ask</button>
          </div>
          <label class="sb-check"><input data-at="only" type="checkbox"> about the selected cells only</label>
        </form>
      </section>
    </div>
  </main>
</div>`;

let pages = 0;

// The page's element, and its parts by name.
export function layout() {
  const page = new DOMParser().parseFromString(LAYOUT, "text/html").body.firstElementChild;
  const at = Object.fromEntries([...page.querySelectorAll("[data-at]")].map((one) => [one.dataset.at, one]));
  // Two pages in one notebook have lists of their own.
  pages += 1;
  for (const [input, list] of [
    [at.gene, at.genes],
    [at.label, at.labels],
  ]) {
    list.id = `${list.id}-${pages}`;
    input.setAttribute("list", list.id);
  }
  return { page: document.adoptNode(page), at };
}
