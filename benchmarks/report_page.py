"""The page of a run in headless Chromium: when it first shows something, and how long each control takes.

The run has 3,000 measured architectures and 100 networks on its front, of three objectives. A control's time is from
the event to the frame in which everything that is in view has changed: by the clock, and of the main thread's CPU,
which a busy neighbour lengthens less. Prints JSON, and writes results/report-page.json.

    python benchmarks/report_page.py            # needs Chromium, and playwright of the extra `dev`
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import HERE, read_front, write
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(HERE.parent / "tests" / "report"))
from made_up import write_whole_run

from naturalize.report import write_report
from naturalize.report.page import library

ARCHITECTURES, NETWORKS, REPEATS = 3000, 100, 7
FIRST_PAINT_S, CONTROL_MS = 2.0, 100.0  # what is promised
CONTROLS = {  # by what a reader does: the value of a control in turn, one each repeat
    "to the right": ("select('across', ['params', 'madds'][n % 2])", "plane"),
    "upwards": ("select('up', ['size', 'error'][n % 2])", "plane"),
    "colour": ("select('colour', ['', 'params'][n % 2])", "plane"),
    "limit, two objectives": ("slide('[data-objective=\"1\"]', 20 + 7 * n)", "plane"),
    "arrow key, two objectives": ("key(['ArrowRight', 'ArrowLeft'][n % 2])", "plane"),
    "network by menu": ("select('choice', 5 + n)", "plane"),
    "network by table": ("document.querySelectorAll('#networks button')[10 + n].click()", "plane"),
    "take, no limits": ("place(['take', 'clear'][n % 2]).click()", "plane"),
    "view: three": ("show(['plane', 'space'][(n + 1) % 2])", "plane"),
    "turn": ("slide('#turn', -100 + 20 * n)", "space"),
    "tilt": ("slide('#tilt', 10 * n)", "space"),
    "limit, three objectives": ("slide('[data-objective=\"1\"]', 20 + 7 * n)", "space"),
    "arrow key, three objectives": ("key(['ArrowRight', 'ArrowLeft'][n % 2])", "space"),
    "view: all side by side": ("show(['plane', 'parallel'][(n + 1) % 2])", "plane"),
    "limit, all side by side": ("slide('[data-objective=\"1\"]', 20 + 7 * n)", "parallel"),
    "arrow key, all side by side": ("key(['ArrowRight', 'ArrowLeft'][n % 2])", "parallel"),
    "iteration of the predictor": ("slide('#iteration', n % 3)", "plane"),
    "variable of p": ("select('variable', n)", "plane"),
}
SCRIPT = """
async ({ action, repeats, kind }) => {
  const tell = (element, name) => element.dispatchEvent(new Event(name, { bubbles: true }));
  const select = (id, value) => { place(id).value = value; tell(place(id), "change"); };
  const slide = (which, value) => {
    const slider = document.querySelector(`input${which}`) ?? document.querySelector(which);
    slider.value = value;
    tell(slider, "input");
  };
  const show = (value) => document.querySelector(`input[value=${value}]`).click();
  const key = (name) => place("front").dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const act = new Function("n", "select", "slide", "show", "key", action);
  show(kind);
  place("clear").click();
  await settled();
  const times = [];
  for (let n = 0; n < repeats; n++) {
    const start = performance.now();
    act(n, select, slide, show, key);
    await settled();
    times.push(performance.now() - start);
  }
  return times;
}
"""


def first_paint(browser: Any, address: str) -> dict[str, float]:
    """Seconds from the start of the navigation to the first contentful paint, and to the drawn front."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(address)
    page.wait_for_function("() => document.querySelector('#front').data !== undefined")
    drawn = page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done(performance.now())))")
    paints = page.evaluate("() => performance.getEntriesByType('paint').map(({name, startTime}) => [name, startTime])")
    page.close()
    return {"first_paint_s": dict(paints)["first-contentful-paint"] / 1e3, "front_s": drawn / 1e3}


def control_ms(page: Page, metrics: Any, action: str, kind: str) -> tuple[list[float], float]:
    """Milliseconds of each use of a control by the clock, and of the main thread's CPU in the mean."""
    before = cpu_s(metrics)
    times = page.evaluate(SCRIPT, {"action": action, "repeats": REPEATS, "kind": kind})
    return times, 1e3 * (cpu_s(metrics) - before) / REPEATS


def cpu_s(metrics: Any) -> float:
    """CPU seconds of the main thread's tasks so far."""
    found = metrics.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in found if metric["name"] == "TaskDuration")


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = write_whole_run(Path(folder) / "run", measured=ARCHITECTURES, front=NETWORKS)
        path = write_report(run)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        loads = [first_paint(browser, path.as_uri()) for _ in range(REPEATS)]
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.goto(path.as_uri())
        page.wait_for_function("() => document.querySelector('#front').data !== undefined")
        metrics = page.context.new_cdp_session(page)
        metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
        controls = {}
        for name, (action, kind) in CONTROLS.items():
            part = {"iteration of the predictor": "predicted", "variable of p": "shares"}.get(name, "front")
            page.locator(f"#{part}").scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            controls[name] = control_ms(page, metrics, action, kind)
        found = {
            "chromium": browser.version,
            "load": round(os.getloadavg()[0], 1),
            "architectures": ARCHITECTURES,
            "networks": len(read_front(run)["networks"]),
            "page_mb": round(path.stat().st_size / 1e6, 2),
            "without_plotly_mb": round((path.stat().st_size - len(library().encode())) / 1e6, 2),
            "first_paint_s": round(median(load["first_paint_s"] for load in loads), 3),
            "front_s": round(median(load["front_s"] for load in loads), 3),
            "controls_ms": {name: round(median(times), 1) for name, (times, _) in controls.items()},
            "controls_cpu_ms": {name: round(cpu, 1) for name, (_, cpu) in controls.items()},
        }
        browser.close()
    found["kept"] = found["first_paint_s"] < FIRST_PAINT_S and max(found["controls_ms"].values()) < CONTROL_MS
    print(json.dumps(found, indent=1))
    write("report-page", found)


if __name__ == "__main__":
    main()
