"""Energy of the CPU packages by RAPL, where Linux lets this user read it (often root only since CVE-2020-8694).

It is what the whole package takes, the load generator's share and everybody else's included: on a machine that does
something else besides, it is too much.
"""

from __future__ import annotations

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class PackageMeter:
    """Reads the counters of all CPU packages.

    Parameters
    ----------
    root
        Where Linux shows them.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _is_package(zone)]
        self._before: dict[Path, int] = {}
        self._joules = 0.0

    def read(self) -> dict[str, float]:
        """`cpu_energy`: J since the first reading, of all packages; nothing where one of them cannot be read."""
        try:
            now = {zone: int((zone / "energy_uj").read_text()) for zone in self._zones}
            spans = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in self._zones}
        except (OSError, ValueError):
            return {}
        if not now:
            return {}
        for zone, before in self._before.items():
            step = now[zone] - before
            self._joules += (step if step >= 0 else step + spans[zone]) / 1e6  # the counter begins anew at its end
        self._before = now
        return {"cpu_energy": self._joules}


def _is_package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False
