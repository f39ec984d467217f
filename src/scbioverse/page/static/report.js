"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const map = new CellMap(document.getElementById("map"), document.getElementById("legend"), facts);
  const choice = document.getElementById("colour");
  fillSelect(choice, facts.colourings.map((one) => one.name));
  choice.addEventListener("change", () => map.show(facts.colourings[choice.value]));
  map.show(facts.colourings[0]).then(() => { document.body.dataset.ready = "yes"; });
  document.getElementById("copy").addEventListener("click", async (event) => {
    const text = document.getElementById("methods").innerText;
    try {
      await navigator.clipboard.writeText(text);
      event.target.textContent = "Copied";
    } catch (error) {
      // Without permission for the clipboard the text is selected, ready for Ctrl-C.
      getSelection().selectAllChildren(document.getElementById("methods"));
    }
  });
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.getElementById("provenance").textContent], { type: "application/json" }));
    link.download = "provenance.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
