// The structure of a network, stage by stage: a row a stage, a box a block. Used by reports and by comparisons.

const KINDS = { conv: "convolution", inverted_residual: "inverted residual", bottleneck: "bottleneck", max_pool: "max pool" };
const WIDEST = 7; // rem, of the box with most inner channels on the page

// What is said of a block: in its box, and in full.
function inWords([kind, kernel, cin, inner, cout, stride, excite, adds]) {
  const side = `${kernel}×${kernel}`;
  const grown = kind === "inverted_residual" ? ` ×${+(inner / cin).toFixed(2)}` : kind === "bottleneck" ? ` →${inner}` : "";
  const full = `${KINDS[kind] ?? kind}, kernel ${side}, channels ${cin} → ${inner} → ${cout}, stride ${stride}` +
    (excite ? `, squeeze-and-excite of ${excite}` : "") + (adds ? ", adds its input" : "");
  return { short: side + grown, full };
}

function drawStructure(parent, { blocks, networks }, index, widest = Math.max(...blocks.map((block) => block[3]))) {
  parent.replaceChildren();
  const network = networks[index];
  element("p", `picture of ${network.resolution} × ${network.resolution} px`, parent, "end");
  const list = element("ol", "", parent, "stages");
  for (const stage of network.stages) {
    const item = element("li", "", list, "stage");
    const about = element("div", "", item, "about");
    element("strong", stage.name.replace(/(\d+)/, " $1"), about);
    const depth = stage.most ? `${stage.blocks.length} of ${stage.most} blocks, ` : "";
    element("span", `${depth}${stage.channels} channels of ${stage.side} × ${stage.side} px, ${stage.share}% of multiply-adds`, about);
    const row = element("ol", "", item, "blocks");
    for (const block of stage.blocks.map((number) => blocks[number])) {
      const { short, full } = inWords(block);
      const cell = element("li", "", row);
      cell.title = full;
      const box = element("div", "", cell, `box kernel${block[1]}`);
      box.style.width = `${Math.max(0.3, (WIDEST * block[3]) / widest).toFixed(2)}rem`;
      box.style.height = `${(0.5 + 0.45 * block[1]).toFixed(2)}rem`;
      element("span", short, cell);
      element("span", `: ${full}`, cell, "spoken");
    }
    for (let n = stage.blocks.length; n < stage.most; n++) {
      const cell = element("li", "", row, "absent");
      element("div", "", cell, "box");
      element("span", "absent", cell);
    }
  }
  element("p", `${network.head}; ${network.rest}% of multiply-adds`, parent, "end");
}
