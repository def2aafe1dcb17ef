"""How what a tool says is counted: recall and precision of the cases, and what it says besides."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A case is found when one thing that is said of it is right, and falsely alarmed when only wrong things are."""

    wrong: int
    """Cases in which something is wrong."""
    found: int
    alarmed: int
    """Cases of which anything is said."""
    missed: frozenset[str]

    @property
    def recall(self) -> float:
        """The share of the wrong cases that were found."""
        return self.found / self.wrong

    @property
    def precision(self) -> float | None:
        """The share of the cases of which anything was said, and rightly so."""
        return self.found / self.alarmed if self.alarmed else None

    def cells(self) -> str:
        """Return recall and precision for a table."""
        precision = "none" if self.precision is None else f"{self.precision:.0%}"
        return f"{self.recall:.0%} | {precision}".replace("%", " %")


def score(labels: Mapping[str, Iterable[str]], said: Mapping[str, Iterable[str]]) -> Score:
    """Compare what was ``said`` of each case with its label; words of the label are right, all others wrong."""
    wrong = {name for name, words in labels.items() if {*words}}
    alarmed = {name for name in labels if {*said.get(name, ())}}
    found = {name for name in alarmed if {*said[name]} & {*labels[name]}}
    return Score(wrong=len(wrong), found=len(found), alarmed=len(alarmed), missed=frozenset(wrong - found))
