"""What is known of the database before a statement: from the earlier revisions, or from this one's ``downgrade()``."""

from dataclasses import dataclass, field

from sage_migrate.lint import statements as ir


@dataclass(kw_only=True, slots=True)
class Table:
    """What is known of one table; that something is not in it means nothing."""

    columns: dict[str, ir.Column] = field(default_factory=dict)
    constraints: dict[str, ir.Constraint] = field(default_factory=dict)
    indexes: dict[str, ir.CreateIndex] = field(default_factory=dict)
    partitioned: bool = False
    default_partition: str | None = None


@dataclass(kw_only=True, slots=True)
class Schema:
    """Tables, views, types and functions by name."""

    tables: dict[str, Table] = field(default_factory=dict)
    views: dict[str, ir.CreateView] = field(default_factory=dict)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    domains: dict[str, bool] = field(default_factory=dict)
    functions: dict[str, ir.CreateFunction] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """Return what is known of a table, nothing at first."""
        return self.tables.setdefault(name, Table())

    def column(self, table: str, column: str) -> ir.Column | None:
        """Return a column where it is known."""
        return self.tables[table].columns.get(column) if table in self.tables else None

    def index_owner(self, index: str) -> str | None:
        """Return the table of an index where it is known."""
        bare = index.rpartition(".")[2]
        return next(
            (name for name, table in self.tables.items() if bare in table.indexes or bare in table.constraints), None
        )

    def apply(self, action: ir.Action) -> None:  # noqa: C901, PLR0912, PLR0915  one branch a kind of action
        """Take in what an action changes."""
        name = action.table
        match action:
            case ir.CreateTable():
                table = self.tables[name] = Table(partitioned=action.partitioned)
                for column in action.columns:
                    table.columns[column.name] = column
                    for constraint in column.constraints:
                        _keep(name, table, constraint)
                for constraint in action.constraints:
                    _keep(name, table, constraint)
                if action.is_default_partition and action.partition_of:
                    self.table(action.partition_of).default_partition = name
            case ir.DropTable():
                self.tables.pop(name, None)
            case ir.RenameTable():
                if name in self.tables:
                    self.tables[action.new_name] = self.tables.pop(name)
                if name in self.views:
                    self.views[action.new_name] = self.views.pop(name)
            case ir.AddColumn():
                table = self.table(name)
                table.columns[action.column.name] = action.column
                for constraint in action.column.constraints:
                    _keep(name, table, constraint)
            case ir.DropColumn():
                self.table(name).columns.pop(action.column, None)
            case ir.RenameColumn():
                columns = self.table(name).columns
                if action.column in columns:
                    columns[action.new_name] = columns.pop(action.column).changed(name=action.new_name)
            case ir.AlterType():
                self._change(name, action.column, type=action.type)
            case ir.SetNotNull():
                self._change(name, action.column, not_null=True)
            case ir.DropNotNull():
                self._change(name, action.column, not_null=False)
            case ir.SetDefault():
                self._change(name, action.column, default=None if action.dropped else "constant")
            case ir.AddConstraint():
                _keep(name, self.table(name), action.constraint)
            case ir.ValidateConstraint():
                constraints = self.table(name).constraints
                if action.name in constraints:
                    constraints[action.name] = constraints[action.name].changed(not_valid=False)
            case ir.DropConstraint():
                self.table(name).constraints.pop(action.name, None)
            case ir.CreateIndex():
                if action.name:
                    self.table(name).indexes[action.name] = action
            case ir.DropIndex():
                for each in self.tables.values():
                    each.indexes.pop(action.name, None)
            case ir.DetachPartition(concurrently=True):
                # PostgreSQL leaves a check of the old bounds, so that attaching it again scans nothing.
                self.table(action.partition).constraints["bounds"] = ir.Constraint(kind="check", name="bounds")
            case ir.CreateView():
                self.views[name] = action
            case ir.DropView():
                self.views.pop(name, None)
            case ir.CreateEnum():
                self.enums[name] = action.values
            case ir.AddEnumValue():
                if name in self.enums:
                    self.enums[name] = (*self.enums[name], action.value)
            case ir.RenameType():
                if name in self.enums:
                    self.enums[action.new_name] = self.enums.pop(name)
            case ir.CreateDomain():
                self.domains[name] = action.constrained
            case ir.CreateFunction():
                self.functions[name] = action
            case _:
                pass

    def _change(self, table: str, column: str, **changes: object) -> None:
        known = self.column(table, column)
        if known is not None:
            self.tables[table].columns[column] = known.changed(**changes)


def _keep(name: str, table: Table, constraint: ir.Constraint) -> None:
    """Keep a constraint under its name, or the one that PostgreSQL gives it."""
    bare = name.rpartition(".")[2]
    suffix = {"unique": "key", "foreign key": "fkey", "check": "check", "exclusion": "excl"}.get(
        constraint.kind, "pkey"
    )
    made = f"{bare}_{suffix}" if suffix == "pkey" else "_".join((bare, *constraint.columns, suffix))
    table.constraints[constraint.name or made] = constraint
