// What the chosen network gets wrong. Names only ever become text, never HTML.

const LABELLED = 40; // classes that a matrix can name at its sides
const WHOLE = 100; // classes that a matrix can show at all
const number = (n) => n.toLocaleString("en");
const share = (part, all) => (all ? `${((100 * part) / all).toFixed(1)}%` : "–");
let confusions = [];

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// Mistakes of a network, most frequent first.
function pairs(confusion) {
  return confusion.count
    .map((count, i) => ({ count, true: confusion.true[i], predicted: confusion.predicted[i] }))
    .sort((a, b) => b.count - a.count);
}

function showErrors(network, confusion, mistakes) {
  const { classes, images } = data;
  const total = images.reduce((sum, n) => sum + n, 0);
  place("errors").textContent = network.scores
    ? `The error, ${network.error}, is 100% less the mean of the classes' ${data.score}, over ${number(total)} test ${data.unit}.`
    : `${network.error} of ${number(total)} test images are wrong; ` +
      `balanced error, every class counting the same, is ${network.balanced}. ${network.unsure}`;
  const taken = new Map();
  for (const pair of mistakes) {
    const list = taken.get(pair.true) ?? taken.set(pair.true, []).get(pair.true);
    if (list.length < 2) list.push(`${classes[pair.predicted]} (${number(pair.count)})`);
  }
  const body = place("classes").tBodies[0];
  const rate = (row) => {
    const i = row.dataset.class;
    if (!images[i]) return -1;
    return 1 - (network.scores ? network.scores[i] : confusion.right[i] / images[i]);
  };
  const rows = [...body.rows].sort((a, b) => rate(b) - rate(a) || a.dataset.class - b.dataset.class);
  for (const row of rows) {
    const i = Number(row.dataset.class);
    const [cell, most] = [row.querySelector(".bar"), row.querySelector(".taken")];
    cell.textContent = network.scores ? share(1 - rate(row), rate(row) >= 0) : share(images[i] - confusion.right[i], images[i]);
    if (rate(row) > 0) {
      const bar = document.createElement("span");
      bar.style.width = `calc((100% - 5.4rem) * ${rate(row)})`;
      cell.prepend(bar);
    }
    if (most) most.textContent = (taken.get(i) ?? []).join(", ");
  }
  body.append(...rows);
}

function showPairs(mistakes) {
  const list = place("pairs");
  list.replaceChildren();
  for (const pair of mistakes.slice(0, 12)) {
    const item = element("li", `${data.classes[pair.true]} → ${data.classes[pair.predicted]} `, list);
    element("small", `${number(pair.count)} of ${number(data.images[pair.true])}`, item);
  }
  if (!mistakes.length) element("li", "none: every test image is right", list);
}

function showMatrix(network, confusion, mistakes) {
  const { classes, images } = data;
  let kept = classes.map((_, i) => i);
  let lead = `Rows are true classes, columns predictions; colour is the share of the true class's ${data.unit}.`;
  if (classes.length > WHOLE) {
    const weight = new Map();
    for (const pair of mistakes)
      for (const i of [pair.true, pair.predicted]) weight.set(i, (weight.get(i) ?? 0) + pair.count);
    kept = [...weight.keys()].sort((a, b) => weight.get(b) - weight.get(a)).slice(0, LABELLED).sort((a, b) => a - b);
    lead += ` Of ${number(classes.length)} classes, the ${kept.length} that are confused most.`;
  }
  if (!data.allPairs) lead += " Rare confusions are left out to keep the page small.";
  place("confusion-lead").textContent = lead;
  const at = new Map(kept.map((i, k) => [i, k]));
  const grid = () => kept.map(() => kept.map(() => null));
  const [right, wrong] = [grid(), grid()];
  const texts = kept.map(() => kept.map(() => ""));
  const cell = (row, column, count, values) => {
    const [r, c] = [at.get(row), at.get(column)];
    if (r === undefined || c === undefined || !images[row]) return;
    values[r][c] = (100 * count) / images[row];
    texts[r][c] = count ? number(count) : "";
  };
  for (const i of kept) cell(i, i, confusion.right[i], right);
  for (const pair of mistakes) cell(pair.true, pair.predicted, pair.count, wrong);
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const cut = (text) => escaped(text.length > 18 ? text.slice(0, 17) + "…" : text);
  const named = kept.length <= LABELLED;
  // Plotly reads a little HTML in texts, so that names are escaped there.
  const hover = (values) => values.map((line, r) => line.map((value, c) => value === null ? "" :
    `${escaped(classes[kept[r]])} → ${escaped(classes[kept[c]])}<br>` +
    `${texts[r][c] || 0} of ${number(images[kept[r]])} (${value.toFixed(1)}%)`));
  const heat = (values, colour, top) => ({
    type: "heatmap", z: values, hovertext: hover(values), hoverinfo: "text", hoverongaps: false, showscale: false,
    zmin: 0, zmax: top, colorscale: [[0, "rgba(128,128,128,0.06)"], [1, colour]], xgap: named ? 1 : 0, ygap: named ? 1 : 0,
    ...(kept.length <= 20 ? { text: texts, texttemplate: "%{text}", textfont: { color: "@text" } } : {}),
  });
  const top = Math.max(10, ...wrong.flat().filter((value) => value !== null));
  const ticks = { tickvals: kept.map((_, k) => k), ticktext: kept.map((i) => cut(classes[i])), showticklabels: named, ticks: named ? "outside" : "", showgrid: false };
  const room = place("confusion").clientWidth;
  const side = Math.min(room - 40, Math.max(260, kept.length * (named ? 30 : 8)) + (named ? 130 : 30));
  return draw("confusion", {
    data: [heat(right, "@right", 100), heat(wrong, "@wrong", top)],
    layout: {
      width: side + 40, height: side, hovermode: "closest",
      xaxis: { ...ticks, title: { text: "predicted" }, tickangle: kept.length > 4 ? -60 : 0, constrain: "domain" },
      yaxis: { ...ticks, title: { text: "true" }, autorange: "reversed", constrain: "domain" },
    },
  });
}

function showWorst(worst) {
  const grid = place("worst");
  grid.replaceChildren();
  for (const one of worst) {
    const figure = element("figure", "", grid);
    const source = data.pictures[one.picture];
    if (source) {
      const image = element("img", "", figure);
      image.src = source;
      image.alt = one.class ? `${one.path}: ${one.class} taken for ${one.predicted}` : `${one.path}: picture, mask, answer`;
      if (!one.class) figure.className = "wide";
    } else element("div", "not kept", figure, "none");
    const caption = element("figcaption", "", figure);
    element("strong", one.class ? `${one.class} → ${one.predicted}` : `${one.error.toFixed(1)}% error`, caption);
    if (typeof one.probability === "number") caption.append(one.probability > 0.995 ? " >\u00a099%" : ` ${(100 * one.probability).toFixed(0)}%`);
    element("br", "", caption);
    element("small", one.path, caption);
  }
  if (!worst.length) element("p", "None was kept.", grid);
}

function showMistakes(index) {
  const network = data.networks[index];
  place("whose").textContent = `Network ${index + 1}, ${data.networks[index].title}.`;
  if (!place("classes")) return;
  const confusion = confusions[index];
  if (network.scores && !confusion) showErrors(network, null, []);
  if (confusion) {
    const mistakes = pairs(confusion);
    showErrors(network, confusion, mistakes);
    showPairs(mistakes);
    showMatrix(network, confusion, mistakes);
  }
  showWorst(network.worst);
}
