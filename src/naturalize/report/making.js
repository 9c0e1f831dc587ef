// How the front was found: hypervolume, predictor, latency models, and how p moved.

function diagonal(values) {
  const ends = [Math.min(...values), Math.max(...values)];
  return { type: "scatter", mode: "lines", x: ends, y: ends, line: { color: "@soft", dash: "dot", width: 1 }, hoverinfo: "skip", name: "equal", showlegend: false };
}

function against(x, y, axes, more) {
  return {
    data: [diagonal([...x, ...y]), { type: "scatter", mode: "markers", x, y, marker: { color: "@val", size: 7, opacity: 0.7 }, showlegend: false, ...more }],
    layout: { height: 320, hovermode: "closest", ...axes },
  };
}

function drawPredicted() {
  const one = data.predictions[Number(place("iteration").value)];
  place("iteration-number").textContent = String(one.iteration);
  const off = one.measured.map((value, n) => Math.abs(value - one.predicted[n])).sort((a, b) => a - b);
  place("predicted-lead").textContent = `Iteration ${one.iteration}: ${one.measured.length} networks, half of them predicted within ${off[Math.floor(off.length / 2)].toFixed(1)} points${one.tau === null ? "" : `, rank correlation (Kendall) ${one.tau}`}.`;
  const percent = { ticksuffix: " %" };
  const figure = against(one.measured, one.predicted, {
    xaxis: { title: { text: "measured error" }, ...percent }, yaxis: { title: { text: "predicted error" }, ...percent },
  }, { text: one.architectures, hovertemplate: "%{text}<br>measured %{x:.1f}<br>predicted %{y:.1f}<extra></extra>" });
  const at = one.architectures.indexOf(networks[chosen].architecture);
  if (at >= 0) figure.data.push(ring(one.measured[at], one.predicted[at]));
  return draw("predicted", figure);
}

function drawClock(number) {
  const clock = data.clocks[number];
  const at = clock.networks.indexOf(chosen);
  const figure = against(clock.model, clock.clock, {
    xaxis: { title: { text: `by the model, ${clock.unit}` } }, yaxis: { title: { text: `on the clock, ${clock.unit}` } },
  }, {
    customdata: clock.networks, text: clock.networks.map((index) => `network ${index + 1}`),
    hovertemplate: "%{text}<br>model %{x:.3g}<br>clock %{y:.3g}<extra></extra>",
    error_y: { type: "data", array: clock.spread.map((one) => 2 * one), thickness: 1, color: "@soft" },
  });
  const all = [...clock.model, ...clock.clock];
  if (Math.max(...all) > 5 * Math.min(...all)) for (const axis of [figure.layout.xaxis, figure.layout.yaxis]) axis.type = "log";
  if (at >= 0) figure.data.push(ring(clock.model[at], clock.clock[at]));
  return draw(`clock${number}`, figure);
}

// Shares of p are in thousandths.
function heat(z, x, y, hover) {
  return {
    data: [{ type: "heatmap", z, x, y, hovertext: hover, hoverinfo: "text", colorscale: "Viridis", zmin: 0, zmax: Math.max(...z.flat()), xgap: 1, ygap: 1, colorbar: { ticksuffix: " %", thickness: 12 } }],
    layout: { height: Math.max(220, 70 + 19 * y.length), xaxis: { type: "category", tickangle: -40, showgrid: false }, yaxis: { type: "category", autorange: "reversed", showgrid: false, tickfont: { size: 11 } } },
  };
}

function entropy(shares) {
  const all = shares.reduce((sum, share) => sum + share, 0);
  return -shares.filter((share) => share > 0).reduce((sum, share) => sum + (share / all) * Math.log(share / all), 0);
}

function drawSettled() {
  const { steps, variables, options, shares } = data.distributions;
  const settled = variables.map((_, v) => shares.map((step) => 100 * (1 - entropy(step[v]) / Math.log(step[v].length))));
  const hover = variables.map((name, v) => shares.map((step, s) => `${name}, ${steps[s]}<br>` + step[v]
    .map((share, option) => [share, options[v][option]]).filter(([share]) => share > 0).sort((a, b) => b[0] - a[0]).slice(0, 6)
    .map(([share, option]) => `${(share / 10).toFixed(1)}% ${option}`).join("<br>")));
  const target = place("settled");
  const first = !target.on;
  draw("settled", heat(settled, steps, variables, hover));
  if (first) target.on("plotly_click", (event) => {
    place("variable").value = String(variables.indexOf(event.points[0].y));
    changed("shares");
  });
}

function drawShares() {
  const { steps, variables, options, shares } = data.distributions;
  const v = Number(place("variable").value);
  const z = options[v].map((_, option) => shares.map((step) => (step[v][option] ?? 0) / 10));
  const hover = options[v].map((option, o) => steps.map((step, s) => `${variables[v]}, ${step}<br>${z[o][s].toFixed(1)}% ${option}`));
  return draw("shares", heat(z, steps, options[v], hover));
}

function startMaking() {
  whenSeen("hypervolume", () => draw("hypervolume", data.hypervolume));
  whenSeen("predicted", drawPredicted);
  data.clocks.forEach((_, number) => whenSeen(`clock${number}`, () => drawClock(number)));
  whenSeen("settled", drawSettled);
  whenSeen("shares", drawShares);
  place("iteration")?.addEventListener("input", () => changed("predicted"));
  place("variable")?.addEventListener("change", () => changed("shares"));
}
