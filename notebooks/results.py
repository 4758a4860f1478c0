"""The tables of benchmarks/results, for chapters that show what was measured elsewhere."""

import csv
import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "benchmarks" / "results"


def read_table(name: str, **wanted: str) -> list[dict[str, str]]:
    """The rows of NAME.md whose columns hold the `wanted` values, as texts by heading, from all of its tables that have
    these columns. Raises LookupError if there is no such row."""
    rows, head = [], None
    for line in (FOLDER / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if head is None:
            head = cells
        elif not set(cells) <= {"---", ""}:
            row = dict(zip(head, cells, strict=True))
            if wanted.items() <= row.items():
                rows.append(row)
    if not rows:
        raise LookupError(f"{name}.md has no row with {wanted}")
    return rows


def number(cell: str) -> float:
    """The number that a cell begins with: 1234.5 of '1,234.5 ± 3'."""
    return float(re.match(r"-?[\d,.]+", cell)[0].replace(",", ""))


def read_curves(name: str, group: str) -> dict[str, list[dict[str, list[float]]]]:
    """NAME.csv as {value of the column `group`: [one history for each seed]}, a history being {column: values}."""
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        history = found.setdefault(row.pop(group), {}).setdefault(row["seed"], {})
        for column, value in row.items():
            history.setdefault(column, []).append(float(value))
    return {value: [*seeds.values()] for value, seeds in found.items()}
