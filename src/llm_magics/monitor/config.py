"""What Prometheus and Alertmanager are told: configuration and rules, as text.

Servers come through `file_sd`: the monitor's process rewrites those files as servers come and go, and Prometheus sees
it by itself. A server with an API key has a job of its own, whose `credentials_file` is the key's own 0600 file in the
registry, so a key is in no configuration and no label; such jobs change the configuration, which is then read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_magics import engines
from llm_magics.monitor import alerts, signals
from llm_magics.monitor.home import Home

KEYLESS = "engines"  # the job of servers without a key; the others' are named after them


def prometheus(
    home: Home, *, inbox: str, alertmanager: str, prometheus: str, every: float, keys: Mapping[str, Path]
) -> str:
    """`prometheus.yml`.

    Parameters
    ----------
    inbox, alertmanager, prometheus
        `host:port` of our own process, of Alertmanager and of Prometheus itself.
    every
        s between two scrapes, and two looks at the rules.
    keys
        Name of each server that has an API key -> the file that holds it.
    """
    jobs: list[dict[str, Any]] = [
        {"job_name": "prometheus", "static_configs": [{"targets": [prometheus]}]},
        {"job_name": "alertmanager", "static_configs": [{"targets": [alertmanager]}]},
        {
            "job_name": "llm-magics",
            "honor_labels": True,  # our own page says which server each line is about
            "authorization": {"credentials_file": str(home.token)},
            "static_configs": [{"targets": [inbox]}],
        },
        {"job_name": KEYLESS, "file_sd_configs": [{"files": [str(home.targets / f"{KEYLESS}.json")]}]},
        *(
            {
                "job_name": f"server-{name}",
                "authorization": {"credentials_file": str(path)},
                "file_sd_configs": [{"files": [str(home.targets / f"server-{name}.json")]}],
            }
            for name, path in sorted(keys.items())
        ),
    ]
    pause = _duration(every)
    return _yaml(
        {
            "global": {
                "scrape_interval": pause, "scrape_timeout": _duration(min(every, 10.0)), "evaluation_interval": pause,
            },
            "rule_files": [str(home.rules / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": jobs,
        }
    )  # fmt: skip


def alertmanager(home: Home, *, inbox: str, quick: bool = False) -> str:
    """`alertmanager.yml`: everything goes to our own inbox; one message for each server.

    `quick` tells of a change after a second and not after ten: for a look, or a lesson, where nobody is woken.
    """
    return _yaml(
        {
            "route": {
                "receiver": "llm-magics",
                "group_by": ["server"],
                "group_wait": "1s" if quick else "10s",
                "group_interval": "1s" if quick else "30s",
                "repeat_interval": "4h",
            },
            "receivers": [
                {
                    "name": "llm-magics",
                    "webhook_configs": [
                        {
                            "url": f"http://{inbox}/alerts",
                            "send_resolved": True,
                            "http_config": {"authorization": {"credentials_file": str(home.token)}},
                        }
                    ],
                }
            ],
        }
    )


def rule_files(values: Mapping[str, float], *, every: float, hold: float | None = None) -> dict[str, str]:
    """The rules: file name -> text. One file an engine, one for what the monitor's own page says.

    Parameters
    ----------
    values
        Limits of the alerts (see `alerts.settled`).
    every
        s between two scrapes: rates look back over at least twelve of them.
    hold
        s that any alert must be true before it fires; None: as each alert says.
    """
    window = f"{max(5, round(12 * every))}s"
    groups = {"monitor": alerts.rules_of_page(values, hold=hold)}
    for key in engines.names():
        groups[key] = alerts.rules(key, engines.get(key), values, window=window, hold=hold)
    return {f"{key}.yml": _yaml({"groups": [{"name": key, "rules": rules}]}) for key, rules in groups.items() if rules}


def skipped() -> dict[str, str]:
    """Engines whose servers have no metrics page that can be scraped: key -> why."""
    return {
        key: f"{engine.title} exports no Prometheus metrics: the monitor says whether it is up, and no more"
        for key in engines.names()
        if not signals.of(engine := engines.get(key))
    }


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _yaml(document: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
