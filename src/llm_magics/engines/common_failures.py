"""What any engine built on PyTorch or the hub may say when it fails; tried after the engine's own signatures.

Where the lines come from: docs/engines.md, and the corpus in tests/unit/engines.
"""

from __future__ import annotations

from llm_magics.engines.facts import Failure

COMMON_FAILURES: tuple[Failure, ...] = (
    Failure(
        r"CUDA out of memory",
        "the GPU's memory is too small for this model and these settings",
        "lower max_model_len or max_num_seqs, use a quantized checkpoint, or free the GPU (`%llm gpus`)",
    ),
    Failure(
        r"no kernel image is available for execution on the device",
        "this build of the engine has no code for this GPU",
        "install a build for the GPU's architecture (a very new or a very old one needs its own)",
    ),
    Failure(
        r"NVIDIA driver on your system is too old \(found version (\d\d)0?(\d+)0\)",  # 12020 is 12.2
        "the NVIDIA driver is too old for this build of the engine: it knows CUDA up to {0}.{1}",
        "update the driver, or install the engine's build for an older CUDA",
    ),
    Failure(
        r"driver on your system is too old|CUDA error: CUDA driver version is insufficient|"
        r"forward compatibility was attempted on non supported HW",
        "the NVIDIA driver is too old for this build of the engine",
        "update the driver, or install the engine's build for an older CUDA",
    ),
    Failure(
        r"NCCL error.*|ncclUnhandledCudaError|ncclSystemError|ncclInternalError|ncclRemoteError",
        "the GPUs could not talk to each other (NCCL)",
        "env: {{NCCL_DEBUG: INFO}} says why; mostly shared memory (/dev/shm; in a container --ipc=host), "
        "else env: {{NCCL_P2P_DISABLE: '1'}}",
    ),
    Failure(
        r"gated repo|401 Client Error|403 Client Error",
        "the model is gated and no accepted token was found",
        "accept the licence on the model's page and set HF_TOKEN before the kernel starts",
    ),
    Failure(
        r"Repository Not Found|LocalEntryNotFoundError|couldn't connect to|Cannot find an appropriate cached snapshot",
        "the model is not in the local cache and could not be fetched",
        "check the model's name, or give the path of a local directory as model:",
    ),
    Failure(
        r"Repo id must be in the form|Repo id must use alphanumeric",
        "the model's path does not exist, and it is no hub id either",
        "check the path given as model:",
    ),
    Failure(
        r"has model type `(\S+)` but Transformers does not recognize|does not recognize this architecture",
        "the engine's version of Transformers does not know the model's architecture",
        "upgrade the engine, or set trust_remote_code: true where the model brings its own code",
    ),
    Failure(
        r"Cannot find any model weights|Error no file named|not appear to have a file named \S*(?:safetensors|bin)",
        "the model's folder has no weights",
        "download the model again",
    ),
    Failure(
        r"SafetensorError|safetensors_rust",
        "a file of the model's weights is cut off or corrupt",
        "download the model again",
    ),
    Failure(
        r"[Aa]ddress already in use|couldn't bind HTTP server socket",
        "the port is taken",
        "leave port: out so that a free one is chosen",
    ),
    Failure(
        r"error: argument (\S+): (?:expected|invalid)",
        "this version of the engine does not take what it was given for {0}",
        "see what the installed version takes: run its own --help",
    ),
    Failure(
        r"unrecognized arguments?: |ambiguous option: |unknown argument: |(?:invalid|error): argument|No such option",
        "this version of the engine does not know an option it was given",
        "see what the installed version takes: run its own --help",
    ),
    Failure(r"No space left on device", "the disk is full", "free some space, or set HF_HOME to a larger disk"),
    # The last of all: an import that an engine can do without may be told in a log too.
    Failure(
        r"ModuleNotFoundError: No module named '([\w.]+)'",
        "the Python package {0} is not where the engine is installed",
        "install it there (pip by the Python that `%llm engines` names), or the whole engine again",
    ),
)
