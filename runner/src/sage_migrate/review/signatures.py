"""Who reviewed: reads the names that were signed, and tells whether somebody else than the author is among them."""

import re
from collections.abc import Iterable

from sage_migrate.review.git import Person

_NOBODY = frozenset(
    (
        "",
        "nobody",
        "none",
        "no",
        "n/a",
        "na",
        "me",
        "myself",
        "self",
        "someone",
        "somebody",
        "author",
        "reviewer",
        "name",
        "you",
    )
)
_NO_REPLY = re.compile(r"(?:\d+\+)?([\w-]+)@users\.noreply\.")


def read_names(text: str) -> list[set[str]]:
    """Return each person that signed, by all the names that stand there: a name, an address, a handle."""
    linked = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    people = []
    for part in re.split(r"[,;&]|\band\b", linked):
        address = re.search(r"[\w.+-]+@[\w.-]+\w", part)
        bare = re.sub(r"<[^>]*>|\([^)]*\)|[*_`]", " ", part.replace(address[0], " ") if address else part)
        name = " ".join(bare.split()).strip(" .-").lstrip("@")
        names = {name.casefold(), *([address[0].casefold()] if address else [])} - _NOBODY
        if any(any(letter.isalpha() for letter in each) for each in names):
            people.append(names)
    return people


def names_of(person: Person) -> set[str]:
    """Return what a person may sign with: the name, the address, what stands before its @, a handle in it."""
    email = person.email.casefold()
    handle = _NO_REPLY.match(email)
    return {person.name.casefold(), email, email.partition("@")[0], *([handle[1]] if handle else [])} - {""}


def only_author_signed(signed: Iterable[set[str]], authors: Iterable[Person]) -> bool:
    """Tell whether everybody who signed is an author."""
    own = set().union(*map(names_of, authors))
    return all(names & own for names in signed)
