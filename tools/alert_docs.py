"""Write `docs/alerts.md` from the list of alerts: `alert_docs.py [FILE]`; a test holds the file against it."""

from __future__ import annotations

import sys
from pathlib import Path

from llm_magics import engines
from llm_magics.monitor import alerts, config, signals

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Alerts

The alerts that `%llm monitor up` loads into Prometheus. This page is made from `src/llm_magics/monitor/alerts.yaml` by
`tools/alert_docs.py`; the rules for each engine are made from the same file, with the names that this engine exports.

`{signal}` stands for an expression over the engine's own metrics (below), `$limit` for one of the limits. A `for` is
how long it must be true before anybody is told; `%llm monitor up --hold 10s` sets one for all.

## Limits

`%llm monitor up --limits ttft=500ms,tpot=50ms` sets them; take them from the `slo` of your bench.

| Limit | Default | What it says |
|---|---|---|
"""


def page() -> str:
    """The page."""
    rows = (f"| `{each.name}` | {_amount(each)} | {each.says} |\n" for each in alerts.limits().values())
    return INTRODUCTION + "".join(rows) + "\n" + "\n".join(map(_alert, alerts.alerts())) + "\n" + _signals()


def _amount(each: alerts.Limit) -> str:
    return f"{each.default:,.0f} {each.unit}" if each.default >= 1e5 else f"{each.default:g} {each.unit}"


def _alert(each: alerts.Alert) -> str:
    titles = {"all": "every engine", "monitor": "the monitor itself"}
    named = ", ".join(titles.get(key) or engines.get(key).title for key in each.engines)
    steps = "\n".join(f"{number}. {line}" for number, line in enumerate(each.todo, 1))
    other = "".join(f"For {engines.get(key).title}: `{expr}`\n\n" for key, expr in each.instead.items())
    other += "".join(f"{engines.get(key).title}: {note}\n\n" for key, note in each.notes.items())
    return (
        f"## {each.name}\n\n{each.meaning}\n\n"
        f"**{each.severity}** · for {each.hold:g} s · {named}\n\n`{each.expr}`\n\n{other}"
        f"What to do:\n\n{steps}\n\nLook first: `{each.cell}`\n"
    )


def _signals() -> str:
    """What each engine has, by its own names."""
    lines = [
        "## Signals\n",
        "Recorded as `llm:NAME` with the labels `server`, `engine`, `model`; rates over twelve scrapes.\n",
        "| Signal | What it is | " + " | ".join(engines.get(key).title for key in _watched()) + " |",
        "|---|---|" + "---|" * len(_watched()),
    ]
    for name, meaning in signals.MEANINGS.items():
        marks = ("✓" if name in signals.of(engines.get(key)) else "" for key in _watched())
        lines.append(f"| `{name}` | {meaning} | " + " | ".join(marks) + " |")
    lines += ["", *(f"- {why}." for why in config.skipped().values())]
    lines += [
        "- TensorRT-LLM's JSON page `/metrics` empties when read, so it is left alone: `/prometheus/metrics` is read.",
        "- llama.cpp's `kv_usage` is exported by older builds only.",
        "- TGI's `failed_rate` leaves out what it refuses (422, 429) and clients that left.",
        "- Triton exports TTFT and TPOT with its vLLM backend only.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _watched() -> list[str]:
    return [key for key in engines.BUILT_IN if signals.of(engines.get(key))]


def main(arguments: list[str]) -> int:
    """Writes the page."""
    Path(arguments[0] if arguments else ROOT / "docs" / "alerts.md").write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
