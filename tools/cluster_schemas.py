"""Makes tests/unit/deployment/schemas/ from clones of the projects that define them: only what our documents can hold.

    python tools/cluster_schemas.py prometheus-operator=DIR keda=DIR kserve=DIR production-stack=DIR compose-spec=DIR

Descriptions are left out, and KServe's schema is cut to the predictor; what a schema names is then all it takes
(Kubernetes would drop the rest silently, which is what a test has to see). Sources and commits stand in SOURCES.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

OUT = Path(__file__).parent.parent / "tests" / "unit" / "deployment" / "schemas"
FILES = {
    "prometheus-operator": "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    "keda": "config/crd/bases/keda.sh_scaledobjects.yaml",
    "kserve": "config/crd/full/serving.kserve.io_inferenceservices.yaml",
    "production-stack": "helm/values.schema.json",
    "compose-spec": "schema/compose-spec.json",
}


def shown(clone: str, path: str) -> str:
    return subprocess.run(
        ["git", "-C", clone, "show", f"HEAD:{path}"], check=True, capture_output=True, text=True
    ).stdout


def bare(schema: Any) -> Any:
    """Without words for people."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: bare(value) for key, value in schema.items() if not (key == "description" and isinstance(value, str))}


def strict(schema: Any) -> Any:
    """Fields that a CRD does not name are refused, where the cluster would drop them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def of_crd(text: str) -> Any:
    crd = yaml.safe_load(text)
    version = next(each for each in crd["spec"]["versions"] if each["storage"])
    schema = bare(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"metadata": {"type": "object"}}
    schema["properties"].pop("status", None)
    if crd["spec"]["names"]["kind"] == "InferenceService":
        spec = schema["properties"]["spec"]
        predictor = spec["properties"]["predictor"]
        kept = {"containers", "initContainers", "volumes", "model", "minReplicas", "maxReplicas", "nodeSelector",
                "tolerations", "imagePullSecrets", "securityContext", "terminationGracePeriodSeconds",
                "enableServiceLinks", "automountServiceAccountToken"}  # fmt: skip
        predictor["properties"] = {key: value for key, value in predictor["properties"].items() if key in kept}
        spec["properties"] = {"predictor": predictor}
    return strict(schema)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Where these schemas come from",
        "",
        "Made by `tools/cluster_schemas.py`; each project's licence is Apache-2.0.",
        "",
    ]
    for given in sys.argv[1:]:
        project, _, clone = given.partition("=")
        text = shown(clone, FILES[project])
        schema = of_crd(text) if FILES[project].endswith(".yaml") else bare(json.loads(text))
        (OUT / f"{project}.json").write_text(json.dumps(schema, separators=(",", ":")) + "\n", "utf-8")
        commit = subprocess.run(
            ["git", "-C", clone, "log", "-1", "--format=%H %cs"], check=True, capture_output=True, text=True
        )
        lines.append(f"- `{project}.json`: {FILES[project]} at {commit.stdout.strip()}")
    (OUT / "SOURCES.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
