// Measures the networks of networks.json in this browser: bursts of each, in turn with a reference.

const GROUP = 8; // networks that are open at once
const ROUNDS = 3; // bursts of each
const BURST_MS = 20; // runs of one network in a row take at least so long: browsers' clocks may be coarse
const LEAST_RUNS = 3;

const place = (id) => document.getElementById(id);
const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const pause = () => new Promise((resolve) => setTimeout(resolve));

function problem(text) {
  place("problem").textContent = text;
  place("problem").hidden = false;
  place("state").textContent = "";
}

async function opened({ file, shape }) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file} is not there (${answer.status})`);
  const session = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()), { executionProviders: ["wasm"] });
  const size = shape.reduce((product, side) => product * side, 1);
  const pixels = new Uint8Array(size).map((_, i) => (i * 2654435761) >>> 24);
  const feeds = { [session.inputNames[0]]: new ort.Tensor("uint8", pixels, [1, ...shape]) };
  return { session, run: () => session.run(feeds), release: () => session.release() };
}

// Milliseconds of one run: the mean of a burst, after one that finds its caches cold.
async function burst(network) {
  await network.run();
  let runs = 0;
  const start = performance.now();
  let taken = 0;
  while (taken < BURST_MS || runs < LEAST_RUNS) {
    await network.run();
    runs += 1;
    taken = performance.now() - start;
  }
  return taken / runs;
}

function shuffled(n) {
  const order = [...Array(n).keys()];
  for (let i = n - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// Times of a group over the reference's before and after each; the order is another in every round.
async function ratios(group, reference, least) {
  const found = group.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    let before = await burst(reference);
    for (const number of shuffled(group.length)) {
      const taken = await burst(group[number]);
      const after = await burst(reference);
      found[number].push((2 * taken) / (before + after));
      least.value = Math.min(least.value, before, after);
      before = after;
      await pause();
    }
  }
  return found;
}

async function measure(manifest) {
  const networks = manifest.networks;
  const reference = await opened(manifest.reference);
  const least = { value: Infinity };
  const found = [];
  place("progress").hidden = false;
  const started = performance.now();
  for (let first = 0; first < networks.length; first += GROUP) {
    const group = [];
    for (const network of networks.slice(first, first + GROUP)) group.push(await opened(network));
    found.push(...(await ratios(group, reference, least)));
    for (const network of group) await network.release();
    const share = found.length / networks.length;
    place("progress").value = share;
    const left = ((performance.now() - started) / 1000 / share) * (1 - share);
    place("state").textContent = `${found.length} of ${networks.length} networks, about ${Math.ceil(left)} s to go`;
  }
  networks.forEach((network, i) => {
    const middle = median(found[i]);
    const deviation = 1.4826 * median(found[i].map((value) => Math.abs(value - middle)));
    network.milliseconds = Number((middle * least.value).toFixed(6));
    network.spread = Number(((1.2533 * deviation) / Math.sqrt(found[i].length) / middle).toFixed(4));
  });
  return { ...manifest, runtime: `onnxruntime-web ${ort.env.versions.web} (wasm)`, device: navigator.userAgent, threads: 1 };
}

async function give(table) {
  const text = JSON.stringify(table);
  place("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  let name = "table.json";
  try {
    const answer = await fetch("table", { method: "POST", body: text });
    if (!answer.ok) throw new Error(String(answer.status));
    name = await answer.text();
    place("kept").textContent = `The table is where the page came from, as ${name}. It can be saved here too.`;
  } catch {
    place("kept").textContent = "Save the table, and copy it to where naturalize is.";
  }
  place("command").textContent = `naturalize transfer photos/ -o error -o latency:${name}`;
  place("done").hidden = false;
  place("state").textContent = "Measured.";
}

async function start() {
  try {
    const answer = await fetch("networks.json");
    if (!answer.ok) throw new Error(`networks.json is not there (${answer.status})`);
    const manifest = await answer.json();
    if (typeof ort === "undefined") throw new Error("ort/ is not there: write this directory anew");
    ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
    ort.env.wasm.numThreads = 1;
    const button = place("start");
    button.disabled = false;
    place("state").textContent = `${manifest.networks.length} networks of ${manifest.supernet}`;
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await give(await measure(structuredClone(manifest)));
      } catch (error) {
        problem(`It could not be measured: ${error.message}`);
      }
    });
    if (location.hash === "#start") button.click();
  } catch (error) {
    const hint = location.protocol === "file:" ? " Browsers load nothing from a disk: run serve.py in this directory, and open the address that it prints." : "";
    problem(`${error.message}.${hint}`);
  }
}

start();
