// The front by any objectives: the views, the limits, and which networks are within them.

const { objectives, others, networks } = data;
const ALONE = [
  { color: "@probe", symbol: "square-open" }, // in the order in which reports list networks that stand by themselves
  { color: "@whole", symbol: "triangle-up-open" },
];
const BEYOND = 0.13; // opacity of networks beyond a limit
const SIZE = networks.length <= 60 ? 9 : 6; // of markers
const order = data.front.data[0].customdata; // along the first cost
const hovers = new Map(order.map((index, place) => [index, data.front.data[0].hovertext[place]]));
const byName = (name) => objectives.find((objective) => objective.name === name);
const different = objectives.map(({ values }) => [...new Set(values.filter((value) => value !== null))].sort((a, b) => a - b));
const view = {
  kind: "plane", across: place("across").value, up: place("up").value, colour: place("colour").value,
  turn: -35, tilt: 25, limits: objectives.map(() => null),
};
const opened = { ...view };
let chosen = data.chosen;

const isWithin = (index) => objectives.every(({ values }, n) =>
  view.limits[n] === null || (values[index] !== null && values[index] <= view.limits[n]));
const opacities = () => order.map((index) => (isWithin(index) ? 1 : BEYOND));
const of = (objective) => order.map((index) => objective.values[index]);

// The network to take where accuracy alone counts, as run.front.most_accurate has it.
function mostAccurate(indices) {
  const lowest = indices.reduce((best, index) => {
    const [one, other] = [networks[index].selected, networks[best].selected];
    return one[0] < other[0] || (one[0] === other[0] && one[2] < other[2]) ? index : best;
  });
  const bound = networks[lowest].selected[0] + networks[lowest].selected[1];
  const near = indices.filter((index) => networks[index].selected[0] <= bound);
  return near.reduce((best, index) => {
    const [one, other] = [networks[index].selected, networks[best].selected];
    return one[3] > other[3] || (one[3] === other[3] && one[0] < other[0]) ? index : best;
  });
}

const isNarrow = () => place("front").clientWidth < 640;

function shaded(objective, size) {
  const lying = { orientation: "h", y: 1, yanchor: "bottom", title: { ...objective.shading.colorbar.title, side: "top" } };
  const colorbar = { ...objective.shading.colorbar, ...(isNarrow() ? lying : {}) };
  return { size, color: of(objective), symbol: data.front.data[0].marker.symbol, ...objective.shading, colorbar };
}

const plain = (size) => ({ size, color: "@val", symbol: data.front.data[0].marker.symbol });
const ring = (x, y, more) => ({ ...data.front.data.at(-1), x: [x], y: [y], showlegend: false, ...more });

// An axis that shows all of the front, and of what lies around it as much again.
function fitted(objective, values, around) {
  const scale = objective.axis.type === "log" ? Math.log10 : (value) => value;
  const inside = values.filter((value) => value !== null).map(scale);
  const [low, high] = [Math.min(...inside), Math.max(...inside)];
  if (!(high > low)) return objective.axis;
  const more = around.filter((value) => value !== null && (value > 0 || scale !== Math.log10)).map(scale);
  const span = high - low;
  const least = more.reduce((least, value) => Math.min(least, value), low);
  const most = more.reduce((most, value) => Math.max(most, value), high);
  return { ...objective.axis, range: [Math.max(least, low - span) - 0.06 * span, Math.min(most, high + span) + 0.06 * span] };
}

function shows(axis, value) {
  const scaled = axis.type === "log" ? Math.log10(value) : value;
  return !axis.range || (scaled >= axis.range[0] && scaled <= axis.range[1]);
}

// Thousands of faint points as one path of dots: a marker each would take a second to draw.
function cloud(x, y, opacity) {
  const dots = x.map((value, n) => `M${value},${y[n]}L${value},${y[n]}`).join("");
  return { type: "path", path: dots, layer: "below", opacity, line: { color: "@soft", width: 4 } };
}

function plane() {
  const [x, y, colour] = [byName(view.across), byName(view.up), byName(view.colour)];
  const figure = { data: structuredClone(data.front.data), layout: { ...data.front.layout, shapes: [] } };
  if (isNarrow()) Object.assign(figure.layout, { height: 560, legend: { orientation: "h", y: -0.2, yanchor: "top" } });
  const isFirst = view.across === opened.across && view.up === opened.up && !colour;
  const reads = { validation: "validation", test: "test", "validation, before fine-tuning": "before" };
  const isError = ({ name }) => name in networks[0].test;
  const withErrors = (objective, name) =>
    !isError(objective) || name === "validation" ? of(objective) : order.map((index) => networks[index][name][objective.name]);
  const hasError = isError(x) !== isError(y);
  const drawn = { x: [], y: [] };
  for (const trace of figure.data.slice(0, -1)) {
    const name = reads[trace.name];
    trace.visible = name === "validation" || hasError;
    if (!trace.visible) continue;
    trace.x = withErrors(x, name);
    trace.y = withErrors(y, name);
    trace.mode = isFirst && order.length > 1 && name !== "before" ? "lines+markers" : "markers";
    if (name === "validation") trace.marker = colour ? shaded(colour, SIZE + 3) : plain(SIZE);
    trace.marker.opacity = opacities();
    drawn.x.push(...trace.x);
    drawn.y.push(...trace.y);
  }
  const [alone, around] = [[], { x: [], y: [] }];
  let hidden = 0;
  for (const group of others) {
    const [xs, ys] = [group.columns[x.name], group.columns[y.name]];
    if (!xs || !ys) continue;
    if (group.alone) {
      alone.push({ type: "scatter", mode: "markers", name: group.name, x: xs, y: ys, hoverinfo: "name+x+y", marker: { size: 10, line: { width: 2 }, ...ALONE[alone.length % 2] } });
      drawn.x.push(...xs);
      drawn.y.push(...ys);
    } else {
      around.x.push(...xs);
      around.y.push(...ys);
    }
  }
  figure.layout.xaxis = fitted(x, drawn.x, around.x);
  figure.layout.yaxis = fitted(y, drawn.y, around.y);
  const told = [];
  for (const group of others.filter(({ alone, columns }) => !alone && columns[x.name] && columns[y.name])) {
    const [xs, ys] = [group.columns[x.name], group.columns[y.name]];
    const rows = xs.map((_, row) => row).filter((row) => shows(figure.layout.xaxis, xs[row]) && shows(figure.layout.yaxis, ys[row]));
    hidden += xs.length - rows.length;
    told.push(`${xs.length.toLocaleString("en")} ${group.name}`);
    figure.layout.shapes.push(cloud(rows.map((row) => xs[row]), rows.map((row) => ys[row]), told.length > 1 ? 0.25 : 0.5));
  }
  figure.data.splice(-1, 0, ...alone);
  figure.data[figure.data.length - 1] = { ...ring(x.values[chosen], y.values[chosen]), showlegend: true };
  place("drawn").textContent = told.length
    ? `Faint dots are the other networks as the search measured them, before the front's own last training: ${told.join(", ")}${hidden ? `; ${hidden.toLocaleString("en")} of them lie beyond the axes` : ""}.` : "";
  return figure;
}

// Three objectives, each scaled to -0.5 to 0.5, seen from the side and from above.
function turned(a, b, c) {
  const [t, u] = [(view.turn * Math.PI) / 180, (view.tilt * Math.PI) / 180];
  const depth = Math.sin(t) * a + Math.cos(t) * b;
  return [Math.cos(t) * a - Math.sin(t) * b, Math.sin(u) * depth + Math.cos(u) * c];
}

function unit(objective) {
  const scale = objective.axis.type === "log" ? Math.log10 : (value) => value;
  const scaled = of(objective).map((value) => (value === null ? null : scale(value)));
  const [low, high] = [Math.min(...scaled.filter((v) => v !== null)), Math.max(...scaled.filter((v) => v !== null))];
  return scaled.map((value) => (value === null ? null : (value - low) / (high - low || 1) - 0.5));
}

function three() {
  const names = [...new Set([view.across, view.up, view.colour, ...objectives.map(({ name }) => name)])].filter(Boolean);
  const asked = [view.across, view.colour, view.up].filter((name, n, all) => name && all.indexOf(name) === n);
  while (asked.length < 3) asked.splice(1, 0, names.find((name) => !asked.includes(name)));
  return asked.slice(0, 3).map(byName);
}

function space() {
  const [a, b, c] = three();
  const [as, bs, cs] = [a, b, c].map(unit);
  const points = order.map((_, n) => turned(as[n], bs[n], cs[n]));
  const edges = { x: [], y: [] };
  const edge = (...ends) => {
    for (const end of ends) {
      const [x, y] = turned(...end);
      edges.x.push(x);
      edges.y.push(y);
    }
    edges.x.push(null);
    edges.y.push(null);
  };
  const h = 0.5;
  edge([-h, -h, -h], [h, -h, -h], [h, h, -h], [-h, h, -h], [-h, -h, -h]);
  for (const [x, y] of [[-h, -h], [h, -h], [h, h], [-h, h]]) edge([x, y, -h], [x, y, h]);
  edge([-h, -h, h], [h, -h, h], [h, h, h], [-h, h, h], [-h, -h, h]);
  const stems = { x: [], y: [] };
  order.forEach((_, n) => {
    const foot = turned(as[n], bs[n], -h);
    stems.x.push(points[n][0], foot[0], null);
    stems.y.push(points[n][1], foot[1], null);
  });
  const marker = () => ({ ...shaded(byName(view.colour) ?? c, 8), opacity: opacities() });
  const scatter = (x, y, n) => ({
    type: "scatter", mode: "markers", x, y, xaxis: `x${n}`, yaxis: `y${n}`, customdata: order, hoverinfo: "text",
    hovertext: order.map((index) => hovers.get(index)), marker: { ...marker(), ...(n ? { colorbar: undefined, showscale: false } : {}) }, showlegend: false,
  });
  const at = order.indexOf(chosen);
  const labels = [[a, [0, -h - 0.1, -h]], [b, [h + 0.1, 0, -h]], [c, [-h - 0.05, -h - 0.05, 0]]].map(([objective, end]) => {
    const [x, y] = turned(...end);
    return { x, y, xref: "x", yref: "y", text: objective.words, showarrow: false, font: { color: "@soft" } };
  });
  const flat = { width: 1, color: "@line" };
  const projections = [[a, c, 2], [b, c, 3], [a, b, 4]];
  const narrow = isNarrow();
  const rooms = narrow
    ? [[[0, 1], [0.8, 1]], [[0, 1], [0.53, 0.72]], [[0, 1], [0.27, 0.46]], [[0, 1], [0.01, 0.2]]]
    : [[[0, 0.5], [0.55, 1]], [[0.6, 1], [0.6, 1]], [[0, 0.42], [0.05, 0.45]], [[0.6, 1], [0.05, 0.45]]];
  const still = { automargin: false }; // room for labels is kept: measuring it takes a third of the time
  const hiddenAxis = { ...still, showgrid: false, showticklabels: false, ticks: "", showline: false };
  const layout = {
    height: narrow ? 1500 : 820, hovermode: "closest", annotations: labels, margin: { l: 60, r: 10, t: narrow ? 60 : 10, b: 50 },
    xaxis: { ...hiddenAxis, domain: rooms[0][0], range: [-0.88, 0.88] },
    yaxis: { ...hiddenAxis, domain: rooms[0][1], range: [-0.88, 0.88], scaleanchor: "x" },
  };
  const traces = [
    { type: "scatter", mode: "lines", ...edges, line: flat, hoverinfo: "skip", showlegend: false },
    { type: "scatter", mode: "lines", ...stems, line: { width: 1, color: "@soft" }, opacity: 0.4, hoverinfo: "skip", showlegend: false },
    scatter(points.map(([x]) => x), points.map(([, y]) => y), ""),
  ];
  for (const [x, y, n] of projections) {
    layout[`xaxis${n}`] = { ...x.axis, ...still, domain: rooms[n - 1][0], anchor: `y${n}` };
    layout[`yaxis${n}`] = { ...y.axis, ...still, domain: rooms[n - 1][1], anchor: `x${n}` };
    traces.push(scatter(of(x), of(y), n), ring(x.values[chosen], y.values[chosen], { xaxis: `x${n}`, yaxis: `y${n}` }));
  }
  traces.push(ring(...points[at]));
  return { data: traces, layout };
}

// A line a network over an axis an objective; the lowest values are at the bottom.
function parallel() {
  const shownHere = objectives.filter(({ name, asked }) => asked || [view.across, view.up, view.colour].includes(name));
  for (const objective of objectives) if (shownHere.length < 3 && !shownHere.includes(objective)) shownHere.push(objective);
  const units = shownHere.map(unit);
  const colour = byName(view.colour) ?? byName(view.up);
  const shades = unit(colour).map((value) => Math.min(7, Math.floor(8 * ((value ?? 0) + 0.5))));
  const bundles = new Map();
  order.forEach((index, n) => {
    const key = isWithin(index) ? shades[n] : -1;
    if (!bundles.has(key)) bundles.set(key, { x: [], y: [], customdata: [], hovertext: [] });
    const bundle = bundles.get(key);
    units.forEach((values, column) => {
      bundle.x.push(column);
      bundle.y.push(values[n]);
      bundle.customdata.push(index);
      bundle.hovertext.push(hovers.get(index));
    });
    for (const list of Object.values(bundle)) list.push(null);
  });
  const traces = [...bundles].sort(([a], [b]) => a - b).map(([key, bundle]) => ({
    type: "scatter", mode: "lines+markers", ...bundle, hoverinfo: "text", showlegend: false,
    opacity: key < 0 ? BEYOND : 0.85, line: { width: 1.5, color: key < 0 ? "@soft" : `@shade${key}` }, marker: { size: 5 },
  }));
  const at = order.indexOf(chosen);
  traces.push({
    type: "scatter", mode: "lines+markers", x: units.map((_, column) => column), y: units.map((values) => values[at]),
    line: { color: "@text", width: 3 }, marker: { size: 9 }, hoverinfo: "skip", name: "chosen below", showlegend: false,
  });
  const narrow = isNarrow();
  const annotations = [];
  shownHere.forEach((objective, column) => {
    const sorted = of(objective).map((value, n) => [value, objective.texts[order[n]]]).filter(([value]) => value !== null).sort((p, q) => p[0] - q[0]);
    const label = (y, text, shift) => annotations.push({ x: column, y, text, showarrow: false, yshift: shift, font: { size: narrow ? 11 : 13 } });
    label(-0.5, sorted[0][1], -16);
    label(0.5, sorted.at(-1)[1], 16);
    annotations.push({ x: column, y: 0.5, yshift: 34, text: objective.words.replace(" (", "<br>("), showarrow: false, textangle: narrow ? -30 : 0, yanchor: "bottom", font: { color: "@soft", size: narrow ? 11 : 13 } });
  });
  return {
    data: traces,
    layout: {
      height: 460, hovermode: "closest", annotations, margin: { l: 40, r: 60, t: narrow ? 110 : 80, b: 40 },
      xaxis: { showticklabels: false, showgrid: false, showline: false, range: [-0.25, shownHere.length - 0.75], tickvals: [], automargin: false },
      yaxis: { showticklabels: false, showgrid: false, showline: false, range: [-0.52, 0.52], automargin: false },
      shapes: shownHere.map((_, column) => ({ type: "line", x0: column, x1: column, y0: -0.5, y1: 0.5, line: { color: "@soft", width: 1 }, layer: "below" })),
    },
  };
}

const VIEWS = { plane, space, parallel };

function drawFront() {
  place("drawn").textContent = {
    plane: "", // it says what is around the front
    space: "Each edge runs over the values on the front; stems stand on the floor.",
    parallel: "A line is a network. Each axis runs over the values on the front; the lowest, which are the best, are below.",
  }[view.kind];
  const figure = VIEWS[view.kind]();
  const target = place("front");
  const first = !target.on;
  draw("front", figure);
  if (first) target.on("plotly_click", (event) => {
    const index = event.points[0].customdata;
    if (index !== undefined && index !== null) choose(index);
  });
}

// Says how many networks are within the limits, and how to export the best of them.
function showWithin() {
  const left = networks.map((_, index) => index).filter(isWithin);
  for (const row of place("networks").tBodies[0].rows) row.classList.toggle("beyond", !isWithin(Number(row.dataset.network)));
  objectives.forEach(({ values, texts }, n) => {
    const limit = view.limits[n];
    const text = limit === null ? "any" : texts[values.indexOf(limit)];
    place(`limit-${n}`).textContent = text;
    const slider = document.querySelector(`input[data-objective="${n}"]`);
    slider.value = limit === null ? slider.max : different[n].indexOf(limit);
    slider.setAttribute("aria-valuetext", limit === null ? "no limit" : `at most ${text}`);
  });
  const limited = view.limits.some((limit) => limit !== null);
  const all = networks.length;
  const which = limited ? `${left.length} of ${all} networks ${left.length === 1 ? "is" : "are"} within the limits` : `No limits: ${all === 1 ? "the one network" : `all ${all} networks`}`;
  place("take").disabled = !left.length;
  place("within").hidden = !left.length;
  if (!left.length) {
    place("left").textContent = `${which}: raise one.`;
    return;
  }
  const best = mostAccurate(left);
  const required = objectives.map((objective, n) => [objective, view.limits[n]]).filter(([objective, limit]) => objective.limit && limit !== null);
  const meeting = networks.map((_, index) => index).filter((index) => required.every(([{ values }, limit]) => values[index] <= limit));
  const enough = mostAccurate(meeting) === best;
  const limits = enough ? required.map(([{ name }, limit]) => ` --require "${name}<=${limit}"`).join("") : ` --architecture ${networks[best].architecture}`;
  place("within").firstElementChild.textContent = `${data.export}${limits} --to model.onnx`;
  place("left").textContent = `${which}. The most accurate of them is network ${best + 1}` +
    (enough ? ":" : "; export takes no limit on an error or on the clock, so by its name:");
}

const NEXT = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

// The network after the chosen one along the first cost, among those within the limits.
function neighbour(key) {
  const left = order.filter((index) => isWithin(index) || index === chosen);
  const place = left.indexOf(chosen) + NEXT[key];
  return left[Math.max(0, Math.min(left.length - 1, place))];
}

function look() {
  place("turning").hidden = view.kind !== "space";
  for (const name of ["across", "up", "colour"]) place(name).value = view[name];
  for (const name of ["turn", "tilt"]) place(name).value = view[name];
  document.querySelector(`input[name="view"][value="${view.kind}"]`).checked = true;
  keep();
  changed("front");
}

function limit() {
  showWithin();
  keep();
  changed("front");
}

// What the reader chose stands in the address, so that a page that is read anew, or sent on, opens with it.
function keep() {
  const kept = new URLSearchParams();
  for (const name of ["kind", "across", "up", "colour", "turn", "tilt"]) if (view[name] !== opened[name]) kept.set(name, view[name]);
  objectives.forEach(({ name }, n) => view.limits[n] !== null && kept.set(`max ${name}`, view.limits[n]));
  if (chosen !== data.chosen) kept.set("network", networks[chosen].architecture);
  const text = kept.toString();
  if (text || location.hash.includes("=")) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function kept() {
  const found = new URLSearchParams(location.hash.slice(1));
  for (const name of ["across", "up", "colour"]) {
    if (byName(found.get(name)) || (name === "colour" && found.get(name) === "")) view[name] = found.get(name);
  }
  for (const name of ["turn", "tilt"]) if (Number.isFinite(parseFloat(found.get(name)))) view[name] = parseFloat(found.get(name));
  if (document.querySelector(`input[name="view"][value="${CSS.escape(found.get("kind") ?? "")}"]`)) view.kind = found.get("kind");
  objectives.forEach(({ name }, n) => {
    const limit = parseFloat(found.get(`max ${name}`));
    const below = different[n].filter((value) => value <= limit);
    if (Number.isFinite(limit)) view.limits[n] = below.at(-1) ?? different[n][0];
  });
  const index = networks.findIndex(({ architecture }) => architecture === found.get("network"));
  if (index >= 0) chosen = index;
}

function startExplorer() {
  kept();
  for (const name of ["across", "up", "colour"]) place(name).addEventListener("change", (event) => {
    view[name] = event.target.value;
    look();
  });
  for (const radio of document.querySelectorAll('input[name="view"]')) radio.addEventListener("change", () => {
    view.kind = radio.value;
    look();
  });
  for (const name of ["turn", "tilt"]) place(name).addEventListener("input", (event) => {
    view[name] = Number(event.target.value);
    look();
  });
  for (const slider of document.querySelectorAll("input[data-objective]")) slider.addEventListener("input", () => {
    const n = Number(slider.dataset.objective);
    view.limits[n] = slider.value === slider.max ? null : different[n][slider.value];
    limit();
  });
  place("clear").addEventListener("click", () => {
    view.limits.fill(null);
    limit();
  });
  place("take").addEventListener("click", () => choose(mostAccurate(networks.map((_, index) => index).filter(isWithin))));
  place("front").addEventListener("keydown", (event) => {
    if (!(event.key in NEXT) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(neighbour(event.key));
  });
  whenSeen("front", drawFront);
  showWithin();
  look();
}
