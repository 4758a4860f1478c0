"""The benchmark of the page, with one small network and hardly any work."""

import re
import sys
from pathlib import Path

from tests.web.browser import NEEDS_BROWSER

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = NEEDS_BROWSER


def test_it_writes_milliseconds_beside_what_is_allowed(monkeypatch, tmp_path, capsys):
    import page_speed

    monkeypatch.setattr(page_speed, "ROUNDS", 3)
    monkeypatch.setattr(page_speed, "MILLISECONDS", 100)
    monkeypatch.setattr(page_speed, "SECONDS", 0.3)
    monkeypatch.setattr(page_speed, "GENERATORS", [(28, 1, {"latent_dim": 8, "width": 16}, 15)])
    page_speed.main(tmp_path)
    text = (tmp_path / "page_speed.md").read_text()
    assert text == capsys.readouterr().out[:-1]
    row = next(line for line in text.splitlines() if "28x28" in line)
    milliseconds = re.fullmatch(r"\| 28x28, grey \| 8 \| 16 \| ([\d.]+) \| [\d.]+ to [\d.]+ \| 15 \|", row)
    assert 0 < float(milliseconds[1]) < 100
    for name in page_speed.WIDTHS:
        row = next(line for line in text.splitlines() if name in line)
        per_second, work = map(float, re.findall(r"\| ([\d.]+) \|", row))
        # On any machine, work and frames fit into the time: with two cores, at most twice.
        assert 0 < per_second <= 125 and 0 < work * per_second < 4000
