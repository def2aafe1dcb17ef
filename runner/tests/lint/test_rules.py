"""Each rule is whole: its examples are its tests, its page is its own, its code is nobody else's."""

import ast
import re
from pathlib import Path

import pytest
from labelled_modules import write_modules
from labelled_revisions import revision_of
from sage_migrate.lint.check import check_module, check_revision
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.page import index, page
from sage_migrate.lint.project import Project
from sage_migrate.lint.project.files import find_files
from sage_migrate.lint.revisions import Revision
from sage_migrate.lint.rule import ModuleRule, Rule, all_rules
from sage_migrate.lint.schema import Schema

PAGES = Path(__file__).parents[3] / "docs/rules"
HAZARDS = {
    "access_exclusive_long",
    "blocks_writes_long",
    "fk_two_table_lock",
    "multi_lock_transaction",
    "unbounded_backfill",
    "concurrently_in_transaction",
    "old_code_breaks",
    "data_loss",
}
# In proportion to a table.
SLOW = {"access_exclusive_long", "blocks_writes_long", "fk_two_table_lock", "unbounded_backfill"}


def _lint(rule: Rule, example: str, directory: Path) -> list[Violation]:
    if not isinstance(rule, ModuleRule):
        return _lint_revision(example)
    write_modules(example, directory)
    project = Project(find_files([directory]), [directory])
    return [violation for module in project.modules for violation in check_module(module, project)]


def _lint_revision(body: str) -> list[Violation]:
    source = revision_of("example", body)
    tree = ast.parse(source)
    declared: dict[str, object] = {"phase": "contract"} if "sage_migrate = " in body else {}
    revision = Revision(
        path=Path("example.py"), source=source, tree=tree, identifier="example", parents=("base",), declared=declared
    )
    return list(check_revision(revision, Schema(), set()))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_bad_example_is_found(rule: Rule, tmp_path: Path) -> None:
    """The bad example raises this rule, with hazards that it names."""
    found = [each for each in _lint(rule, rule.bad, tmp_path / "project") if each.code == rule.code]
    assert found
    assert all(set(each.hazards) <= set(rule.hazards) for each in found)
    assert all(each.severity == rule.severity for each in found)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_good_example_is_clean(rule: Rule, tmp_path: Path) -> None:
    """The good example raises no error of any rule, and not this rule."""
    found = _lint(rule, rule.good, tmp_path / "project")
    assert [each for each in found if each.severity == "error" or each.code == rule.code] == []


@pytest.mark.parametrize("rule", [each for each in all_rules() if SLOW & {*each.hazards}], ids=lambda rule: rule.code)
def test_slow_work_has_its_recipe(rule: Rule) -> None:
    """Whoever is told not to do it so is told the page that says how."""
    for found in _lint_revision(rule.bad):
        if (
            found.code == rule.code and rule.code != "SM127"
        ):  # to validate a domain's check blocks the tables that use it: no way
            (page,) = re.findall(r"docs/\w+\.md", found.help)
            assert (PAGES.parents[1] / page).exists()


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_page_is_the_rules_own(rule: Rule) -> None:
    """docs/rules holds what the rule says; `python -m sage_migrate.lint.page docs/rules` writes it."""
    assert (PAGES / f"{rule.slug}.md").read_text() == page(rule)


def test_codes_pages_and_index_are_equal() -> None:
    """No code twice, no page without a rule, hazards in the words of the vocabulary."""
    codes = [rule.code for rule in all_rules()]
    assert len(set(codes)) == len(codes)
    assert {each.stem for each in PAGES.glob("*.md")} == {rule.slug for rule in all_rules()} | {"README"}
    assert (PAGES / "README.md").read_text() == index(all_rules())
    assert {hazard for rule in all_rules() for hazard in rule.hazards} == HAZARDS
    assert all(rule.severity == "error" for rule in all_rules() if rule.hazards)
