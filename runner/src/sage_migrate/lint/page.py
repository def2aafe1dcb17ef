"""A rule's page in the documentation, from the rule itself."""

from sage_migrate.lint.rule import ModuleRule, Rule


def page(rule: Rule) -> str:
    """Return the page as Markdown."""
    hazards = ", ".join(f"`{each}`" for each in rule.hazards) or "none: style"
    # The words for hazards are those of a migration.
    of_revisions = "" if isinstance(rule, ModuleRule) else f"\n- Hazards: {hazards}"
    return f"""# {rule.code}: {rule.slug}

{rule.condition}

- Severity: {rule.severity}{of_revisions}

**Effect.** {rule.effect}

**Instead.** {rule.workaround}

## Bad

```python
{rule.bad.rstrip()}
```

## Good

```python
{rule.good.rstrip()}
```

To accept it in one place: `# sage-migrate: ignore {rule.code} -- why`
"""


def index(rules: tuple[Rule, ...]) -> str:
    """Return the list of all rules as Markdown."""
    rows = "\n".join(f"| [{r.code}]({r.slug}.md) | {r.slug} | {r.severity} | {', '.join(r.hazards)} |" for r in rules)
    return f"# Rules\n\nMade by `python -m sage_migrate.lint.page DIRECTORY` from the rules themselves.\n\n| code | rule | severity | hazards |\n|---|---|---|---|\n{rows}\n"  # noqa: E501


def write_pages(directory: str) -> None:
    """Write one page a rule, and their index."""
    from pathlib import Path

    from sage_migrate.lint.rule import all_rules

    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for rule in all_rules():
        (target / f"{rule.slug}.md").write_text(page(rule))
    (target / "README.md").write_text(index(all_rules()))


if __name__ == "__main__":
    import sys

    write_pages(sys.argv[1])
