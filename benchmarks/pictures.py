"""What pictures take: the table of a plan, the page of a graph, and that page in a browser until it can be used.

    python -P benchmarks/pictures.py [--sizes 100 1000 10000] [--json]

Recipes are those of `planning.py`: `written`, which has no loops, so that the page opens with every box; and
`unrolled`, a sweep of loops, which it opens folded. Beside each figure stands a floor of the same run: `rung plan
--json` for what is printed or written, an empty Bokeh figure in the same browser for what is drawn. Seconds are of the
processor: of the whole command; of the browser's page process, until the page answers. `wall` is what a person waited.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from planning import RECIPES, measure
from playwright.sync_api import Browser, sync_playwright

SIZES = (100, 1_000, 10_000)
_FLOOR = """<!doctype html><html><body><div id="graph" style="width:1000px;height:800px"></div>
<script>{bokeh}</script><script>
const plot = Bokeh.Plotting.figure({{ tools: "pan,wheel_zoom" }});
plot.rect({{ x: [1], y: [1], width: [1], height: [1] }});
Bokeh.Plotting.show(plot, "#graph").then(() => requestAnimationFrame(() => setTimeout(() => {{
  document.documentElement.dataset.ready = String(performance.now());
}})));
</script></body></html>"""


def opened(browser: Browser, page: Path) -> Mapping[str, float]:
    """Opens the page in a fresh tab until it says that it can be used."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    session = context.new_cdp_session(tab)
    session.send("Performance.enable")
    before = process_s(session)
    began = time.perf_counter()
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    found = {"wall_s": time.perf_counter() - began, "cpu_s": process_s(session) - before}
    context.close()
    return found


def process_s(session: Any) -> float:
    """CPU seconds of the tab's process up to now."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ProcessTime"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="stages, multiples of 10")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        parser.error("no chromium on this machine")
    rung: list[str | Path] = [sys.executable, "-P", "-m", "compiler"]
    heads = ("plan --json", "plan, piped", "graph html", "page MB", "opens: CPU", "wall", "floor: CPU", "wall")
    if not options.json:
        print(f"{'recipe':10}{'stages':>8}" + "".join(f"{head:>13}" for head in heads))
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        floor = folder / "floor.html"
        floor.write_text(_FLOOR.format(bokeh=_bokeh()), encoding="utf-8")
        opened(browser, floor)
        for recipe, write in RECIPES.items():
            for size in options.sizes:
                file, page = folder / f"{recipe}.yaml", folder / f"{recipe}.html"
                with file.open("w", encoding="utf-8") as stream:
                    stream.writelines(write(size))
                kept = ["--store", folder / "store"]
                row = {
                    "recipe": recipe,
                    "stages": size,
                    "plan_json_s": measure([*rung, "plan", file, "--json", *kept], folder).cpu_s,
                    "plan_s": measure([*rung, "plan", file, *kept], folder).cpu_s,
                    "html_s": measure([*rung, "graph", file, "--out", page, *kept], folder).cpu_s,
                    "page_mb": page.stat().st_size / 1e6,
                    **{f"opens_{key}": value for key, value in opened(browser, page).items()},
                    **{f"floor_{key}": value for key, value in opened(browser, floor).items()},
                }
                _show(row, as_json=options.json)
        browser.close()


def _show(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row), flush=True)
        return
    names = ("plan_json_s", "plan_s", "html_s", "page_mb", "opens_cpu_s", "opens_wall_s", "floor_cpu_s", "floor_wall_s")
    print(f"{row['recipe']:10}{row['stages']:8,}" + "".join(f"{row[name]:13.2f}" for name in names), flush=True)


def _bokeh() -> str:
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-api"]).js_raw)


if __name__ == "__main__":
    main()
