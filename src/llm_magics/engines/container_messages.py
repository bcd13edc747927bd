"""What docker, podman and apptainer say before the engine inside says anything: how far they are, why they failed.

Tried before the engine's own signatures: a container that did not start has no engine.
"""

from __future__ import annotations

from llm_magics.engines.facts import Failure, Stage

STAGES: tuple[Stage, ...] = (
    Stage(r"Unable to find image '(.+)' locally|Trying to pull (\S+?)\.\.\.", "downloading the image"),
    Stage(r"Pulling from (\S+)|Getting image source signatures|Starting build\.\.\.", "downloading the image"),
    Stage(r"Status: Downloaded newer image|Writing manifest to image destination|Creating SIF file", "image is here"),
)

FAILURES: tuple[Failure, ...] = (
    Failure(
        r"Cannot connect to the Docker daemon|[Ff]ailed to connect to the docker API|Cannot connect to Podman",
        "the container daemon does not answer",
        "start it (systemctl start docker), point DOCKER_HOST at it, or serve without a container: on: local",
    ),
    Failure(
        r"permission denied while trying to connect to the (?:Docker daemon|docker API)",
        "this user may not talk to the Docker daemon",
        "join the group docker (usermod -aG docker USER, then log in again), or on: podman",
    ),
    Failure(
        r"pull access denied|manifest unknown|manifest for \S+ not found|repository does not exist|not found: manifest|"
        r"failed to resolve reference \S+: .*not found|requested access to the resource is denied|"
        r"reading manifest \S+ in .*: (?:manifest unknown|unauthorized)",
        "there is no such image, or this user may not fetch it",
        "correct image: (name and tag), or log in to its registry",
    ),
    Failure(
        r"could not select device driver .*gpu|unresolvable CDI devices|nvidia-container-cli: |"
        r"failed to discover GPU vendor",
        "containers cannot be given GPUs on this machine",
        "install the NVIDIA Container Toolkit and restart the daemon; or gpus: none",
    ),
    Failure(
        r"port is already allocated|failed to bind host port|rootlessport .*address already in use",
        "the port is taken",
        "leave port: out so that a free one is chosen",
    ),
    Failure(
        r"Unable to handle docker://|While making image from oci registry|"
        r"(?:Error response from daemon|initializing source|pinging container registry).*(?:no such host|i/o timeout|"
        r"connection refused|request canceled|TLS handshake)",
        "the image could not be fetched",
        "check the network and image:; or fetch it beforehand where there is one",
    ),
    Failure(
        r"exec: \"(.+?)\": (?:executable file not found|stat .*no such file)",
        "the image has no program {0}",
        "give an image of this engine as image:",
    ),
)
