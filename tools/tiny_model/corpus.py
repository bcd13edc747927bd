"""Turns the facts in `corpus/` into chat samples, because a small model must see a question asked in many ways.

The YAML files hold each answer once, written by hand. Here every answer is put behind several phrasings of its
question, some of them careless (lower case, no question mark, a typing error), behind system messages, and into
conversations of several turns. Everything follows from one seed: the same seed gives the same samples, another
seed another choice of phrasings of the same facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "corpus"
TURNS = (0.62, 0.24, 0.14)  # how often a conversation has one, two, three questions


@dataclass(frozen=True)
class Fact:
    """One answer and the ways to ask for it; `again` asks when its topic was just spoken of ("Why does it matter?")."""

    questions: tuple[str, ...]
    answer: str
    topic: str = ""
    again: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A conversation (role, text), or plain text when `messages` is empty."""

    messages: tuple[tuple[str, str], ...] = ()
    text: str = ""


def read(name: str) -> dict | list:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def listed(phrasings: str) -> tuple[str, ...]:
    """The files write several phrasings on one line: `Who are you? | What are you?`."""
    return tuple(phrasings.split(" | ")) if phrasings else ()


def topics() -> list[dict]:
    found: list[dict] = []
    for file in sorted((FOLDER / "topics").glob("*.yaml")):
        found += yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def facts() -> list[Fact]:
    """Every answer of the corpus with all its phrasings, in a fixed order; no question has two answers."""
    found: list[Fact] = []
    templates = read("templates.yaml")
    for topic in topics():
        for intent, phrasing in templates["intents"].items():
            if intent in topic:
                again = listed(phrasing.get(f"again_{_number(topic)}", ""))
                found.append(Fact(_asked(topic, phrasing), topic[intent], topic["name"], again))
        found += [Fact(listed(qa["q"]), qa["a"], topic["name"]) for qa in topic.get("qa", [])]
    for pair in read("versus.yaml"):
        found.append(Fact(tuple(_both_orders(templates["versus"], pair["of"])), pair["a"]))
    found += [Fact(listed(qa["q"]), qa["a"]) for file in ("questions.yaml", "manners.yaml") for qa in read(file)]
    return found


def roundabout() -> list[Fact]:
    """For each topic the questions nobody wrote an answer to ("What are the limits of NCCL?"), answered in general."""
    answered = {question for fact in facts() for question in fact.questions}
    intents = read("templates.yaml")["intents"]
    found = []
    for topic in topics():
        missing = [phrasing for intent, phrasing in intents.items() if intent not in topic]
        asked = [question for phrasing in missing for question in _asked(topic, phrasing)]
        left = tuple(question for question in asked if question not in answered)
        if left:
            found.append(Fact(left, topic.get("more", topic["what"]), topic["name"]))
    return found


def _number(topic: dict) -> str:
    return "many" if topic.get("plural") else "one"


def _asked(topic: dict, phrasing: dict) -> tuple[str, ...]:
    names = [topic["name"], *topic.get("also", [])]
    return tuple(template.format(x=name) for template in phrasing[_number(topic)] for name in names)


def _both_orders(templates: list[str], names: list[str]) -> list[str]:
    x, y = names
    return [t.format(x=a, y=b) for t in templates for a, b in ((x, y), (y, x))]


def paragraphs(rng: random.Random) -> list[str]:
    """Plain text: the written paragraphs, and for a third of the topics one made of their answers."""
    found = [text.strip() for text in read("paragraphs.yaml")]
    for topic in topics():
        if rng.random() < 1 / 3:
            found.append(" ".join(topic[intent] for intent in ("what", "how", "why") if intent in topic))
    return found


def unknown(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Questions outside the field, answered by saying so: the honest thing for a model of this size."""
    said = read("unknown.yaml")
    found = []
    for _ in range(count):
        group = rng.choice(said["groups"])
        question = rng.choice(group["ask"]).format(x=rng.choice(group["about"]))
        found.append((question, rng.choice(said["answers"])))
    return found


def vary(question: str, rng: random.Random, templates: dict) -> str:
    """The question as somebody in a hurry, or somebody polite, would type it."""
    words = question.split(" ")
    if len(words) > 3 and rng.random() < 0.15:
        words.insert(rng.randrange(1, len(words)), rng.choice(listed(templates["fillers"])))
    small = [at for at, word in enumerate(words[1:-1], 1) if word in listed(templates["small"])]
    if small and rng.random() < 0.12:
        del words[rng.choice(small)]
    question = " ".join(words)
    if rng.random() < 0.2:
        question = rng.choice(templates["before"]).format(q=question, lower=question[0].lower() + question[1:])
    if rng.random() < 0.06:
        question = f"{question} {rng.choice(listed(templates['after']))}"
    if rng.random() < 0.15:
        question = question.lower()
    if rng.random() < 0.15:
        question = question.rstrip("?.!")
    if rng.random() < 0.04 and len(question) > 12:
        at = rng.randrange(3, len(question) - 2)
        question = question[:at] + question[at + 1 :]
    return question


def expand(seed: int, repeats: int = 3) -> list[Sample]:
    """One pass over the corpus: every fact `repeats` times or more, in conversations, and every paragraph once."""
    rng = random.Random(seed)
    templates = read("templates.yaml")
    known = facts()
    by_topic: dict[str, list[Fact]] = {}
    for fact in known:
        if fact.again:
            by_topic.setdefault(fact.topic, []).append(fact)

    queue: list[tuple[str, Fact]] = []
    for fact in known:
        plain = [fact.questions[0]] if rng.random() < 0.5 else []
        asked = plain + rng.choices(fact.questions, k=repeats - len(plain))
        queue += [(vary(question, rng, templates), fact) for question in asked]
    for fact in roundabout():
        queue.append((vary(rng.choice(fact.questions), rng, templates), fact))
    queue += [(vary(q, rng, templates), Fact((q,), a)) for q, a in unknown(rng, len(known) // 3)]
    rng.shuffle(queue)

    samples = [Sample(text=text) for text in paragraphs(rng)]
    while queue:
        system = rng.choice(templates["systems"]) if rng.random() < 0.3 else ""
        messages: list[tuple[str, str]] = [("system", system)] if system else []
        question, fact = queue.pop()
        for turn in range(rng.choices((1, 2, 3), TURNS)[0]):
            if turn:
                related = [other for other in by_topic.get(fact.topic, []) if other is not fact]
                if related and rng.random() < 0.6:
                    fact = rng.choice(related)
                    question = vary(rng.choice(fact.again), rng, templates)
                elif queue:
                    question, fact = queue.pop()
                else:
                    break
            messages += [("user", question), ("assistant", fact.answer)]
        samples.append(Sample(messages=tuple(messages)))
    rng.shuffle(samples)
    return samples
