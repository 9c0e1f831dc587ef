"use strict";
// What pages share: the data of the page, and figures in the colours of the reader's theme, drawn when they are seen.

const data = JSON.parse(document.getElementById("data").textContent);
const place = (id) => document.getElementById(id);

function element(tag, text, parent, name) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  if (parent) parent.append(made);
  return made;
}

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
    xaxis: {}, yaxis: {}, ...figure.layout,
  };
  for (const name of Object.keys(layout)) if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...axis, ...layout[name] };
  const ready = painted({ data: figure.data, layout });
  return Plotly.react(place(id), ready.data, ready.layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

// Parts of the page that are made when they come into view, and made anew only while they are in it.
const parts = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const part = parts.get(entry.target.id);
    part.inView = entry.isIntersecting;
    make(part);
  }
}, { rootMargin: "300px" });

function make(part) {
  if (!part.inView || !part.stale) return;
  part.stale = false;
  part.make();
}

function whenSeen(id, make) {
  if (!place(id)) return;
  parts.set(id, { make, stale: true, inView: false });
  seen.observe(place(id));
}

function changed(...ids) {
  for (const id of ids) {
    const part = parts.get(id);
    if (!part) continue;
    part.stale = true;
    make(part);
  }
}

const repaint = () => changed(...parts.keys());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
addEventListener("beforeprint", () => {
  for (const part of parts.values()) {
    part.inView = true;
    make(part);
  }
});
