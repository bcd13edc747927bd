"""`%%serve`, `%%bench`, `%%compare` and `%llm`: parse, call the api, display."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
    output_can_be_silenced,
)

from llm_magics.errors import LLMMagicsError, SpecError
from llm_magics.magics.said import said_to_a_person

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep
    from llm_magics.runtime.record import Record


@magics_class
class LLMMagics(Magics):
    """The magics of one shell."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._until_end_of_cell: list[Record] = []
        self._told: list[Run | Comparison | Sweep] = []

    @line_cell_magic
    def serve(self, line: str, cell: str | None = None) -> None:
        """Start an inference engine beside this kernel and bind it to NAME.

        %serve tiny                          llama.cpp with the model that ships
        %%serve qwen --engine vllm --gpus 0
        model: Qwen/Qwen2.5-7B-Instruct
        max_model_len: 8192

        NAME is then a server: NAME.client (an openai.OpenAI), NAME.url, NAME.logs(), NAME.metrics(), NAME.stop().
        `%serve --help` lists every option.
        """
        from llm_magics import lines
        from llm_magics.spec.reading import read_mapping

        with said_to_a_person() as told:
            asked = lines.serve("%").read(line)
            if not asked.dry_run:
                self._free(asked.name)
                told.starts(asked.name)
            on_line = lines.given(asked, "name", "no_wait", "replace", "dry_run")
            body, numbers = read_mapping(cell or "")
            _no_option_twice(on_line, numbers)
            options = {**body, **on_line}
            if asked.dry_run:
                from llm_magics.api.serving import dry_run

                print(dry_run(asked.name, lines=numbers, **_without_name(options, numbers)))  # noqa: T201
                return
            from llm_magics.api import serve

            server = serve(
                asked.name,
                wait=not asked.no_wait,
                replace=asked.replace,
                lines=numbers,
                **_without_name(options, numbers),
            )
            if options.get("keep") == "cell" and not server.reused:
                self._until_end_of_cell.append(server.record)
            self._bind(asked.name, server)

    @output_can_be_silenced
    @line_cell_magic
    def bench(self, line: str, cell: str | None = None) -> Any:
        """Load-test a server, or the URL of any OpenAI-compatible endpoint, and show what it does.

        %bench tiny                          1, 4 and 16 streams, 50 requests each
        %%bench tiny --out r
        input_tokens: 512
        output_tokens: 128
        rate: [1, 2, 4, 8]                   # requests/s; or concurrency: [1, 8, 64]
        duration: 30s                        # or requests: 200
        slo: {ttft: 500ms, tpot: 50ms}

        %%bench tiny                         search: the highest rate (or concurrency) that keeps the SLO; or
        search: slo                          `search: saturation`
        slo: {ttft: 500ms, tpot: 50ms}
        budget: 60s

        %bench tiny --mlflow trials          log it to MLflow too
        %bench tiny --sweep max_num_seqs=8,16,32
        %bench --engine llamacpp --model tiny --sweep max_num_seqs=1,4 --sweep max_model_len=512,1024

        Interrupting keeps what was measured. `%bench --help` lists every option.
        """
        from llm_magics import lines
        from llm_magics.spec.reading import read_mapping

        with said_to_a_person(measures=True):
            asked = lines.bench("%").read(line)
            on_line = lines.given(asked, "target", "out", "data")
            body, numbers = read_mapping(cell or "")
            _no_option_twice(on_line, numbers)
            options = {**body, **on_line}
            if hasattr(asked, "data"):
                options["data"] = self._value(asked.data)
            from llm_magics.api import bench

            run = bench(getattr(asked, "target", None), lines=numbers, **options)
            if hasattr(asked, "out"):
                self._bind(asked.out, run)
            self._say(run)
            return run

    @no_var_expand
    @output_can_be_silenced
    @line_cell_magic
    def compare(self, line: str, cell: str | None = None) -> Any:
        """Put servers, engines or finished runs side by side.

        %%compare qwen tiny                  the body is a prompt: answers side by side, streaming
        Explain PagedAttention in one sentence.

        %%compare qwen tiny --load           the body is a workload, as in %%bench
        concurrency: [1, 8]

        %compare --engines vllm,llamacpp --model tiny --load
        %compare RUN RUN                     two finished runs (`%llm runs`)

        `%compare --help` lists every option.
        """
        from llm_magics import lines

        with said_to_a_person(measures=True):
            asked = lines.compare("%").read(line)
            from llm_magics.api import compare
            from llm_magics.results.run import Run

            bound = {name: value for name in asked.targets if isinstance(value := self.shell.user_ns.get(name), Run)}
            targets = [bound.get(target, target) for target in asked.targets]

            comparison = compare(targets, **lines.comparison(asked, cell or ""))
            if hasattr(asked, "out"):
                self._bind(asked.out, comparison)
            if hasattr(asked, "report"):
                print(lines.written(comparison, asked.report)[0])  # noqa: T201
            self._say(comparison)
            return comparison

    @output_can_be_silenced
    @line_magic
    def llm(self, line: str) -> Any:
        """The rest: list, stop, logs, fit, recommend … `%llm` lists the verbs, `%llm VERB --help` explains one."""
        from llm_magics import verbs

        words = line.split(maxsplit=1)
        if not words or words[0] in ("-h", "--help"):
            print(f"%llm VERB [options]\n\n{verbs.summaries()}")  # noqa: T201
            return None
        with said_to_a_person():
            options = verbs.parser(words[0], "%llm").read(words[1] if len(words) > 1 else "")
            answer = verbs.VERBS[words[0]].run(options)
            if answer.stream:
                answer.stream(partial(print, flush=True))
            if isinstance(answer.shown, str):
                print(answer.shown)  # noqa: T201
                return None
            return answer.shown
        return None

    def end_of_cell(self, _: Any = None) -> None:
        """Stops the servers that were to live as long as their cell (`--keep cell`); results say their words again."""
        while self._told:
            self._told.pop().words_told = False
        while self._until_end_of_cell:
            from llm_magics.runtime.stop import end

            try:
                end(self._until_end_of_cell.pop())
            except LLMMagicsError as error:  # IPython would print it as an error in its own works
                print(error, file=sys.stderr)  # noqa: T201

    def _say(self, result: Run | Comparison | Sweep) -> None:
        """Show a result's words, once in this cell, and what to type where its server ended."""
        from IPython.display import display

        from llm_magics.api.ended import next_step
        from llm_magics.views.words import words

        if (said := words(result)) is not None:
            display(said)  # type: ignore[no-untyped-call]
            result.words_told = True
            self._told.append(result)
        if then := next_step(result):
            print(f"-> {then}")  # noqa: T201

    def _bind(self, name: str, value: Any) -> None:
        self.shell.user_ns[name] = value

    def _free(self, name: str) -> None:
        """Refuse a server's name that already says something else here; one that we bound may be bound anew."""
        import builtins

        from llm_magics import verbs
        from llm_magics.runtime.registry import Registry
        from llm_magics.runtime.server import Server

        bound = self.shell.user_ns.get(name)
        if isinstance(bound, Server):
            return
        if name in verbs.names() and Registry().get(name) is None:
            raise SpecError(
                f"{name!r} is a verb and no good name for a server (did you mean `%llm {name}`?).",
                then=f"%serve my_{name} … where a server is meant",
            )
        taken = (
            "Python's own" if hasattr(builtins, name) else "a variable of this notebook" if bound is not None else ""
        )
        if taken:
            kind = f", {type(bound).__name__}" if bound is not None else ""
            raise SpecError(
                f"{name!r} is {taken}{kind}, and %serve would overwrite it.",
                then=f"another name, `%serve my_{name} …`" + (f"; or `del {name}` first" if bound is not None else ""),
            )

    def _value(self, name: str) -> Any:
        if name not in self.shell.user_ns:
            raise SpecError(f"There is no {name} in this notebook.", then="--data takes the name of a DataFrame")
        return self.shell.user_ns[name]


def _no_option_twice(on_line: dict[str, Any], numbers: dict[str, int]) -> None:
    for key in on_line:
        if key in numbers:
            raise SpecError(f"Line {numbers[key]}: {key} stands on the magic's line too.", then="keep one")


def _without_name(options: dict[str, Any], numbers: dict[str, int]) -> dict[str, Any]:
    if "name" in options:
        raise SpecError(f"Line {numbers['name']}: the name stands on the magic's line.", then="leave name: out")
    return options
