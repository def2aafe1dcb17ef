"""The corpus of models: modules, labelled with the codes of what is wrong in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labelled_modules import split_modules

CORPUS = Path(__file__).parent / "corpus/models"
PROOF = "proof.py"


@dataclass(frozen=True, kw_only=True)
class LabelledModels:
    """Modules of one project."""

    name: str
    codes: frozenset[str]
    files: dict[str, str]
    """What is linted, by path."""
    proof: str
    """A program that ends well where the label says what happens; empty where an observer sees it."""


def read_models() -> Iterator[LabelledModels]:
    """Yield the projects of every theme: ``### name: codes``, then the modules and the proof."""
    for theme in sorted(CORPUS.glob("*.txt")):
        for section in theme.read_text().split("### ")[1:]:
            head, _, body = section.partition("\n")
            name, _, codes = head.partition(":")
            files = split_modules(body)
            yield LabelledModels(name=name, codes=frozenset(codes.split()), proof=files.pop(PROOF, ""), files=files)
