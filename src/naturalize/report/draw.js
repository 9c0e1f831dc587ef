"use strict";
// What pages share: the data of the page, and figures in the colours of the reader's theme.

const data = JSON.parse(document.getElementById("data").textContent);
const place = (id) => document.getElementById(id);

// Plotly takes no CSS variables: "@val" in a figure stands for --val of the theme that is on.
function painted(figure) {
  const style = getComputedStyle(document.documentElement);
  return JSON.parse(JSON.stringify(figure), (key, value) =>
    typeof value === "string" && /^@\w+$/.test(value) ? style.getPropertyValue("--" + value.slice(1)).trim() : value);
}

function draw(id, figure) {
  const axis = { gridcolor: "@line", linecolor: "@line", zeroline: false, automargin: true, fixedrange: true };
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 10, r: 10, t: 10, b: 10 },
    font: { color: "@text", family: "system-ui, sans-serif", size: 13 }, hoverlabel: { align: "left" },
    ...figure.layout, xaxis: { ...axis, ...figure.layout.xaxis }, yaxis: { ...axis, ...figure.layout.yaxis },
  };
  const ready = painted({ data: figure.data, layout });
  return Plotly.react(place(id), ready.data, ready.layout, { responsive: true, displaylogo: false, displayModeBar: false });
}
