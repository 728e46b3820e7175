#!/usr/bin/env python3
"""Renders pages in headless Chromium and measures their boxes.

    measure.py [--shots DIR] PAGE.html...

Each page is laid out at 360, 720, 1200 and 1920 pixels in light and in dark, and at the width of A4 as it is printed. It fails
if anything reaches out of the page or of its drawing, if labels of a drawing lie on each other, if a letter is smaller
than one can read, or if the browser reports an error. The last line says how many layouts were measured.

Exit status: 0 all is well, 1 something is wrong, 77 there is no browser (it prints SKIPPED and why).
"""

import pathlib
import shutil
import sys

WIDTHS = [(360, 740), (720, 900), (1200, 900), (1920, 1080)]
# A4 less margins of 14 mm, at 96 dots per inch.
PAPER = (688, 1000)
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]

# Everything is measured in the page: boxes after layout, in pixels of the screen.
MEASURE = """(least) => {
  const wrong = [];
  const round = (r) => [r.left, r.top, r.right, r.bottom].map((x) => Math.round(x * 10) / 10).join(' ');
  const what = (e) => `<${e.tagName.toLowerCase()}> "${(e.textContent || '').trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(`the page is ${root.scrollWidth} wide, of ${root.clientWidth}`);
  const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden';
  for (const e of document.body.querySelectorAll('*')) {
    if (!shown(e) || e.closest('svg')) continue;
    const r = e.getBoundingClientRect();
    if (r.right > root.clientWidth + 0.5 || r.left < -0.5) wrong.push(`${what(e)} reaches out of the page: ${round(r)}`);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline')
      wrong.push(`${what(e)} overflows: ${e.scrollWidth} of ${e.clientWidth}`);
  }
  let labels = 0;
  for (const svg of document.querySelectorAll('svg')) {
    if (!shown(svg)) continue;
    const frame = svg.getBoundingClientRect();
    const boxes = [];
    for (const t of svg.querySelectorAll('text')) {
      const r = t.getBoundingClientRect();
      if (r.width === 0) { wrong.push(`${what(t)} has no width`); continue; }
      labels += 1;
      const scale = frame.width / svg.viewBox.baseVal.width;
      const size = parseFloat(getComputedStyle(t).fontSize) * scale;
      if (size < least) wrong.push(`${what(t)} is ${size.toFixed(1)} px high`);
      if (r.left < frame.left - 0.6 || r.right > frame.right + 0.6 || r.top < frame.top - 0.6 || r.bottom > frame.bottom + 0.6)
        wrong.push(`${what(t)} is cut: ${round(r)} of ${round(frame)}`);
      boxes.push([t, r]);
    }
    for (let i = 0; i < boxes.length; i += 1) {
      for (let k = i + 1; k < boxes.length; k += 1) {
        const [a, b] = [boxes[i][1], boxes[k][1]];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        // Boxes of type reach above and below its letters.
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 0.5 && high > 0.36 * Math.min(a.height, b.height))
          wrong.push(`${what(boxes[i][0])} lies on ${what(boxes[k][0])}: ${round(a)} and ${round(b)}`);
      }
    }
    for (const e of svg.querySelectorAll('rect, line, path, polyline, polygon')) {
      const r = e.getBoundingClientRect();
      if (r.right > frame.right + 1.5 || r.left < frame.left - 1.5 || r.bottom > frame.bottom + 1.5 || r.top < frame.top - 1.5)
        wrong.push(`<${e.tagName}> reaches out of its drawing: ${round(r)} of ${round(frame)}`);
    }
  }
  return { wrong, labels };
}"""


def skipped(why):
    print(f"SKIPPED: {why}")
    return 77


def layouts():
    for width, height in WIDTHS:
        for scheme in ("light", "dark"):
            yield f"{width}-{scheme}", (width, height), scheme, "screen"
    yield "print", PAPER, "light", "print"


def main(arguments):
    shots = None
    if arguments[:1] == ["--shots"]:
        shots = pathlib.Path(arguments[1])
        shots.mkdir(parents=True, exist_ok=True)
        arguments = arguments[2:]
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return skipped("Python has no playwright (pip install playwright)")
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        return skipped(f"there is no {' or '.join(BROWSERS)} (apt-get install chromium)")
    wrong, measured, labels = [], 0, 0
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for name in arguments:
            page_file = pathlib.Path(name).resolve()
            size = page_file.stat().st_size
            if size > 2_000_000:
                wrong.append(f"{page_file.name}: {size} bytes")
            page = browser.new_page()
            errors = []
            page.on("console", lambda message, errors=errors: errors.append(f"console: {message.text}"))
            page.on("pageerror", lambda error, errors=errors: errors.append(f"error: {error}"))
            page.on("requestfailed", lambda request, errors=errors: errors.append(f"request: {request.url}"))
            page.goto(page_file.as_uri())
            for layout, (width, height), scheme, media in layouts():
                page.emulate_media(media=media, color_scheme=scheme)
                page.set_viewport_size({"width": width, "height": height})
                told = page.evaluate(MEASURE, 8.0)
                wrong += [f"{page_file.name} {layout}: {line}" for line in told["wrong"]]
                measured += 1
                labels += told["labels"]
                if shots:
                    page.screenshot(path=shots / f"{page_file.stem}-{layout}.png", full_page=True)
            if shots:
                page.emulate_media(media="print")
                page.pdf(path=shots / f"{page_file.stem}.pdf", format="A4", prefer_css_page_size=True)
            wrong += [f"{page_file.name}: {line}" for line in errors]
            page.close()
        browser.close()
    for line in wrong:
        print(line)
    print(f"{measured} layouts of {len(arguments)} pages, {labels} labels, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
