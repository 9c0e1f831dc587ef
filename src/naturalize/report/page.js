// A report: choosing a network marks it everywhere, and a page of a run that goes on is read anew.

const STILL_MS = 3000;

function showFacts() {
  const network = networks[chosen];
  const told = objectives.map(({ words, texts }) => `${["error", "balanced error"].includes(words) ? `validation ${words}` : words} ${texts[chosen]}`);
  if (network.test.error !== null) told.splice(1, 0, `test error ${network.error}`);
  place("facts").textContent = [`architecture ${network.architecture}`, ...told, network.origin].filter(Boolean).join(" · ");
  place("export").firstElementChild.textContent = `${data.export} --architecture ${network.architecture} --to model.onnx`;
  place("warnings").replaceChildren();
  for (const warning of network.warnings) element("p", warning, place("warnings"), "banner");
  if (data.structures) drawStructure(place("structure"), data.structures, chosen);
}

function choose(index) {
  chosen = index;
  place("choice").value = String(index);
  for (const row of place("networks").tBodies[0].rows) {
    const is = Number(row.dataset.network) === index;
    row.classList.toggle("chosen", is);
    row.querySelector("button").setAttribute("aria-pressed", String(is));
  }
  keep();
  changed("front", "network", "mistakes", "predicted", ...data.clocks.map((_, number) => `clock${number}`));
}

// Not while the reader is at work.
let touched = -Infinity;
for (const name of ["pointerdown", "pointermove", "keydown", "input"]) addEventListener(name, () => (touched = performance.now()));

function readAnew() {
  if (document.hidden || performance.now() - touched < STILL_MS) setTimeout(readAnew, 500);
  else location.reload();
}

async function start() {
  startExplorer();
  whenSeen("network", showFacts);
  choose(chosen);
  startMaking();
  place("choice").addEventListener("change", (event) => choose(Number(event.target.value)));
  place("networks").addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-network]");
    if (row && !event.target.closest("code")) choose(Number(row.dataset.network));
  });
  if (data.refresh) setTimeout(readAnew, 1000 * data.refresh);
  confusions = await unpacked(data.confusions);
  whenSeen("mistakes", () => showMistakes(chosen));
  // Plotly follows the width of figures by itself; what is laid out by width is made anew.
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => changed("front", "mistakes"), 200);
  });
}

start();
