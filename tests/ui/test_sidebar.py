"""The sidebar in a real browser: engines that a notebook serves, and what becomes of them.

It needs the built extension: `make sidebar` links it into the environment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from served import Lab, start_lab
from sidebar_page import copied, focused, made, notebook, row, run_cell, serious, show

from llm_magics.runtime import identity
from llm_magics.runtime.gpus import Gpu, GpuProcess
from llm_magics.runtime.registry import Registry

GIB = 2**30


def test_an_engine_from_its_cell_to_its_end(
    lab: Lab, new_page: Callable[..., Any], picture: Callable[..., Path]
) -> None:
    page = new_page(width=1240, height=880)
    bench = "%%bench tiny\nconcurrency: [1, 4]\nduration: 6s\noutput_tokens: 64"
    notebook(page, lab, "serving.ipynb", ["%load_ext llm_magics\n%serve tiny", bench, ""])
    page.get_by_text("No engine is running.").wait_for()
    run_cell(page, 0)
    row(page, "tiny").wait_for()
    row(page, "tiny", "ready").wait_for()
    row(page, "tiny").get_by_text("by serving.ipynb").wait_for()
    done = page.locator('.llm-Task[data-done="true"]', has_text="Run vLLM with a 7B model")
    done.get_by_title("Measured, in its lighter form").wait_for()

    run_cell(page, 1)
    row(page, "tiny").get_by_text(re.compile("[1-4] running")).wait_for()
    page.wait_for_function(
        """() => (document.querySelector('.llm-Row[data-name="tiny"] .llm-Rate svg')?.getAttribute('aria-label') ?? '0')
             .match(/^[\\d,.]+/)[0] !== '0'"""
    )
    page.locator("summary", has_text="Runs").click()  # what was measured is in the list
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # the engine's own lines would push this test's away
    page.locator(".llm-Run .llm-Link").first.click()
    page.locator(".llm-RunView .js-plotly-plot .main-svg").first.wait_for()
    picture(page, "sidebar")  # the README's

    row(page, "tiny").get_by_role("button", name="Open the log of tiny").click()
    page.locator(".llm-Line").first.wait_for()
    assert serious(page) == []
    lines = page.evaluate("document.querySelector('.llm-Log').scrollHeight")
    log = Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics" / "tiny.log"
    with log.open("a") as file:
        file.write("ERROR a line of this test <b>x</b>\n" * 50)
    page.get_by_text("ERROR a line of this test <b>x</b>").first.wait_for()
    assert page.evaluate("document.querySelector('.llm-Log').scrollHeight") > lines
    page.get_by_role("searchbox").fill("LINE OF THIS TEST")
    page.get_by_text("1/50").wait_for()
    for key, place in (("Enter", "1/50"), ("Enter", "2/50"), ("Shift+Enter", "1/50"), ("Shift+Enter", "50/50")):
        page.keyboard.press(key)  # the first goes to the first
        page.get_by_text(place).wait_for()
    page.locator(".llm-Line[data-hit]").wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy versions, the command without secrets").click()
    report = copied(page, lambda text: "xllamacpp" in text)
    assert report.count("ERROR a line of this test") == 50
    page.locator(".llm-Level", has_text="error").get_by_role("checkbox").uncheck()
    page.get_by_text("not found").wait_for()
    page.get_by_text("ERROR a line of this test <b>x</b>").first.wait_for(state="detached")

    row(page, "tiny").get_by_role("button", name="Copy the base URL of tiny").click()
    record = Registry(log.parent).get("tiny")
    assert record is not None
    assert copied(page, lambda text: text.startswith("http")) == f"{record.url}/v1"

    row(page, "tiny").get_by_role("button", name="Stop tiny").click()
    row(page, "tiny").get_by_role("button", name="Do not stop tiny").click()
    assert row(page, "tiny", "ready").count() == 1
    row(page, "tiny").get_by_role("button", name="Stop tiny").click()
    row(page, "tiny").get_by_role("button", name="Yes, stop tiny").press("Enter")
    row(page, "tiny").wait_for(state="detached")
    assert focused(page).startswith("ENGINES")  # who goes by keys is not sent back to the head of the page


def test_what_a_kernel_and_an_engine_leave_behind(lab: Lab, new_page: Callable[..., Any]) -> None:
    page = new_page()
    notebook(page, lab, "leaving.ipynb", ["%load_ext llm_magics\n%serve left", "import os; os.kill(os.getpid(), 9)"])
    run_cell(page, 0)
    row(page, "left", "ready").wait_for()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel…", exact=True).click()
    page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    row(page, "left", "ready").get_by_text("its notebook ended").wait_for()  # it waits for the kernel's successor
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    run_cell(page, 0)  # which takes it over: nothing counts down, and nothing was started anew
    row(page, "left").get_by_text("stops in").wait_for(state="detached")
    row(page, "left").get_by_text("by leaving.ipynb").wait_for()
    run_cell(page, 1)  # the kernel dies; the engine says how long it waits
    page.locator(".jp-Dialog", has_text="Kernel Restarting").get_by_role("button", name="Ok").click()
    row(page, "left").get_by_text("its notebook ended").wait_for()
    row(page, "left").get_by_role("button", name="Keep left for another hour").click()
    row(page, "left").get_by_text("stops in 59:").wait_for()

    registry = Registry(Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics")
    record = registry.get("left")
    assert record is not None
    os.kill(record.process["pid"], signal.SIGKILL)  # type: ignore[index]
    row(page, "left", "failed").wait_for()
    row(page, "left").locator(".llm-Diagnosis").wait_for()
    row(page, "left").get_by_role("button", name="Forget left and its log").press("Enter")
    row(page, "left").wait_for(state="detached")
    assert focused(page).startswith("ENGINES")
    assert registry.read("left") is None

    lab.run("serve", "lost", "--keep", "detached")
    row(page, "lost", "ready").wait_for()
    os.kill(registry.get("lost").supervisor["pid"], signal.SIGKILL)  # type: ignore[union-attr]
    row(page, "lost", "lost").wait_for()
    row(page, "lost").get_by_role("button", name="Forget lost and its log").click()
    row(page, "lost").wait_for(state="detached")


def test_a_stop_that_fails_says_why_in_its_row(lab: Lab, page: Any, registry: Registry) -> None:
    """Nobody can write where the lock should be; the engine's own process is a stand-in."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        made(registry, supervisor=identity.of(process.pid).to_json())  # type: ignore[union-attr]
        show(page, lab)
        lock = registry.directory / "made.lock"
        lock.mkdir()
        row(page, "made").get_by_role("button", name="Stop made").click()
        row(page, "made").get_by_role("button", name="Yes, stop made").click()
        said = row(page, "made").get_by_role("alert")
        said.get_by_text("that could not be written down").wait_for()
        assert "Is a directory" in said.inner_text()
        assert page.locator(".jp-Dialog").count() == 0
        lock.rmdir()
        row(page, "made", "lost").get_by_role("button", name="Forget made and its log").click()
        row(page, "made").wait_for(state="detached")


def test_names_full_of_html_are_names(lab: Lab, page: Any, registry: Registry) -> None:
    evil = '<img src=x onerror="document.body.dataset.evil=1">\'&'
    made(registry, model=evil, engine=evil, engine_version=evil, owners=[{"notebook": f"/{evil}"}])
    made(registry, "made2", state="failed", diagnosis={"cause": evil, "line": evil, "remedy": evil})
    show(page, lab)
    row(page, "made2").locator(".llm-Diagnosis").wait_for()
    assert row(page, "made").get_by_text("<img src=x").count() >= 1
    assert page.evaluate("document.body.dataset.evil") is None
    assert page.locator("#llm-magics img").count() == 0


def test_a_server_that_goes_and_comes_back(tmp_path: Path, new_page: Callable[..., Any]) -> None:
    found = start_lab(tmp_path)
    port = int(found.url.rsplit(":", 1)[1])
    try:
        directory = tmp_path / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True)
        made(Registry(directory))
        page = new_page()
        # Lab's own requests (its workspace, its status) fail meanwhile and say so to nobody; ours must not.
        page.seen.ours_only = True
        show(page, found)
        row(page, "made", "ready").wait_for()
        found.stop()
        page.locator(".llm-Trouble", has_text="does not answer").wait_for()
        assert row(page, "made").count() == 1  # what was known stays
        found = start_lab(tmp_path, port)
        made(Registry(directory), state="loading", stage="after the restart")
        row(page, "made", "loading").get_by_text("after the restart").wait_for()
        page.locator(".llm-Trouble:not(:empty)").wait_for(state="detached")
        assert page.locator(".jp-Dialog", has_text="LLM").count() == 0
    finally:
        found.stop()


def test_an_engine_of_another_host_is_shown_as_its_and_offers_nothing_here(
    lab: Lab, page: Any, registry: Registry
) -> None:
    """Both hosts see one directory; the other's boot id is what tells them apart."""
    there = {**identity.current().to_json(), "boot_id": "of another machine"}  # type: ignore[union-attr]
    record = made(registry, "remote", host="gpu-node-7", supervisor=there, stops_at=time.time() + 60)
    show(page, lab)
    row(page, "remote", "elsewhere").get_by_text("running on gpu-node-7").wait_for()
    assert row(page, "remote").get_by_role("button").all_inner_texts() == ["Logs"]
    registry.write(replace(record, state="stopped"))
    row(page, "remote").wait_for(state="detached")


def test_gpus_have_a_section_where_there_are_some(lab: Lab, page: Any) -> None:
    one = asdict(Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", "580.1", 80 * GIB, 65 * GIB, 87, 512, 700, 61))
    sockets: list[Any] = []
    page.route_web_socket("**/llm-magics/watch", lambda socket: sockets.append(socket))
    show(page, lab)
    section = page.locator("#llm-magics summary", has_text="GPUs")
    for gpus, there in (([], "detached"), ([one], "visible"), ([], "detached")):
        for message in ({"gpus": gpus}, {"engines": []}):
            sockets[-1].send(json.dumps(message))
        page.get_by_text("No engine is running.").wait_for()  # both were read
        section.wait_for(state=there)


def with_gpus(socket: Any) -> None:
    """The server's own messages, but for the GPUs, and what an engine on them does: as a machine with three would say,
    one of which is cut up and hides the rest."""
    h100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", "580.1", 80 * GIB, 65 * GIB, 87, 512, 700, 61)
    ours = GpuProcess(9, 62 * GIB, "VLLM::Worker", "qwen32")
    present = [
        replace(h100, processes=[ours, GpuProcess(4121, 3 * GIB, "python")]),
        replace(
            h100, index=1, uuid="GPU-1", memory_used=66 * GIB, processes=[ours, GpuProcess(30, 4 * GIB, "x", "made")]
        ),
        Gpu(2, "GPU-2", "NVIDIA A100-SXM4-40GB", "580.1", 0, 0, mig=True, processes=[GpuProcess(4400, None, "python")]),
    ]
    gpus = [asdict(gpu) for gpu in present]

    def pass_on(text: str) -> None:
        message = json.loads(text)
        if "gpus" in message:
            message["gpus"] = gpus
        for load in message.get("load", {}).values():
            load |= {"running": 24, "waiting": 3, "output_tokens": 1240 * load["at"]}
        socket.send(json.dumps(message))

    socket.connect_to_server().on_message(pass_on)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_looks_right(
    lab: Lab, new_page: Callable[..., Any], picture: Callable[..., Path], registry: Registry, scheme: str
) -> None:
    now = time.time()
    made(registry, "qwen32", gpus=[0, 1], model="Qwen/Qwen2.5-32B-Instruct", created=now - 9000, ready_at=now - 8900)
    made(registry)
    made(registry, "llama70", state="loading", stage="loading weights 3/5", created=now - 40, ready_at=None,
         expected=95.0, model="meta-llama/Llama-3.3-70B-Instruct-with-a-very-long-name-indeed")  # fmt: skip
    made(registry, "idle", stops_at=now + 250, stops_why="it was idle")
    made(registry, "failed", state="failed", exit=1, diagnosis={
        "cause": "the GPU has too little memory for 8192 tokens", "line": "ValueError: max seq len (131072)",
        "remedy": "max_model_len: 4096"})  # fmt: skip
    page = new_page(scheme, height=1750)
    page.route_web_socket("**/llm-magics/watch", with_gpus)
    show(page, lab)
    row(page, "failed").wait_for()
    row(page, "idle").get_by_text("stops in").wait_for()
    row(page, "qwen32").get_by_text("GPU 0, 1 · 124 GiB").wait_for()
    row(page, "qwen32").get_by_text("1,240 tok/s").wait_for()
    row(page, "qwen32").get_by_text(re.compile("^2 h [23][0-9] min$")).wait_for()
    row(page, "made").get_by_text("GPU 1 · 4.0 GiB").wait_for()  # it was given none, and runs on one
    page.locator(".llm-Gpu").first.get_by_text("python (pid 4121)").wait_for()  # somebody else's
    page.locator(".llm-Gpu", has_text="MIG instances").get_by_text("python (pid 4400)").wait_for()
    stop = row(page, "made").get_by_role("button", name="Stop made")
    stop.focus()
    for key in ("Enter", "Escape", "Enter"):  # the question is answered by the keyboard too, and the focus comes back
        page.keyboard.press(key)
        if key == "Escape":
            page.wait_for_function("document.activeElement?.title === 'Stop made'")
    row(page, "made").get_by_role("button", name="Yes, stop made").wait_for()
    picture(page.locator("#llm-magics"), f"sidebar-{scheme}")
    assert serious(page) == []
    row(page, "made").get_by_role("button", name="Do not stop made").click()
    registry.log_path("made").write_text("INFO ready\nWARNING slow\nERROR no\n")
    row(page, "made").get_by_role("button", name="Open the log of made").click()
    page.get_by_text("ERROR no").wait_for()
    assert serious(page) == []


def test_fifty_engines_and_a_log_of_a_gigabyte(lab: Lab, page: Any, registry: Registry) -> None:
    for number in range(50):
        made(registry, f"made{number}", created=float(number + 1))
    with registry.log_path("made0").open("wb") as file:
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"INFO the end of a long log\n" * 3000)
    show(page, lab)
    page.wait_for_function("document.querySelectorAll('.llm-Row[data-name^=made]').length === 50")
    row(page, "made0").get_by_role("button", name="Open the log of made0").click()
    page.get_by_text("INFO the end of a long log").first.wait_for()
    assert page.locator(".llm-Line").count() < 200
