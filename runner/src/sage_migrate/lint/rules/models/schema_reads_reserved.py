"""A Pydantic schema reads `metadata` from a model's object."""

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_migrate.lint.models import RESERVED, ModelClass, Models, models_of
from sage_migrate.lint.models.calls import is_true, keyword, text_of
from sage_migrate.lint.models.instances import instance_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import External, Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule

if TYPE_CHECKING:
    from sage_migrate.lint.models import Attribute

_READS = ("from_attributes", "orm_mode")
_VALIDATES = frozenset(("model_validate", "from_orm", "validate"))
_SQLALCHEMY = ("DeclarativeBase", "declarative_base", "mapped_column", "automap_base", "map_imperatively", "SQLModel")


class SchemaReadsReserved(ModuleRule):
    """A schema with `from_attributes` has a field that is read from `metadata` or `registry`."""

    code = "SM206"
    severity = "error"
    condition = (
        "A Pydantic schema with `from_attributes` (`orm_mode`) has a field whose name or alias is `metadata` or "
        "`registry`."
    )
    effect = "The schema reads SQLAlchemy's MetaData from the model: it fails to validate, or shows it to the client."
    workaround = "Read the model's attribute by `validation_alias`."
    bad = """\
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)


class DocumentOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    metadata: dict[str, Any]
"""
    good = """\
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)


class DocumentOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    metadata: dict[str, Any] = Field(validation_alias="extra_metadata")
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such field of the schemas in ``module``."""
        if not any(name in module.source for name in RESERVED) or "class " not in module.source:
            return
        models = models_of(project)
        for schema in models.classes_in(module):
            fields = [each for each in schema.attributes.values() if _key_read(each) in RESERVED]
            if fields and _is_schema(schema) and _reads_models(schema, models):
                for each in fields:
                    yield _found(schema, each)


def _found(schema: ModelClass, field: "Attribute") -> Finding:
    key = _key_read(field)
    return Finding(
        line=field.node.lineno,
        column=field.node.col_offset + 1,
        message=f"{schema.name}.{field.name} is read from {key} of a model, which is SQLAlchemy's own object.",
        help=f'Instead: read the attribute that maps the column.\n{field.name}: … = Field(validation_alias="extra_{key}")',
    )


def _key_read(field: "Attribute") -> str | None:
    """Return the attribute that a field is read from."""
    if not isinstance(field.node, ast.AnnAssign) or field.kind == "annotation" or field.annotation is None:
        return None
    if "ClassVar" in ast.unparse(field.annotation).partition("[")[0]:
        return None
    if isinstance(field.value, ast.Call):
        for name in ("validation_alias", "alias"):
            alias = keyword(field.value, name)
            if isinstance(alias, ast.Call) and alias.args:  # AliasChoices, AliasPath: the first is tried first
                alias = alias.args[0]
                if isinstance(alias, ast.Call) and alias.args:
                    alias = alias.args[0]
            if alias is not None:
                return text_of(alias)
    return field.name


def _is_schema(schema: ModelClass) -> bool:
    if schema.is_mapped:
        return False
    return schema.is_sqlmodel or any(
        isinstance(each, External) and each.name.startswith("pydantic.") and each.name.endswith("BaseModel")
        for each in schema.ancestors
    )


def _reads_models(schema: ModelClass, models: Models) -> bool:
    """Tell whether the schema is made of models: by what it is seen to validate, else by its configuration."""
    if any(_validates_before(each) for each in schema.classes):
        return False
    seen = [each for module in models.project.modules for each in _validated(schema, module, models)]
    if seen:
        return any(_keeps_reserved(each) for each in seen)
    if schema.is_sqlmodel or not any(_is_configured(each) for each in schema.classes):
        return False
    return any(name in module.source for module in models.project.modules for name in _SQLALCHEMY)


def _keeps_reserved(model: ModelClass) -> bool:
    return model.is_mapped and not any(
        attribute.is_mapped for name in RESERVED if (attribute := model.find(name)) is not None
    )


def _validated(schema: ModelClass, module: Module, models: Models) -> Iterator[ModelClass]:
    """Yield the classes of objects that ``module`` gives to the schema."""
    if schema.name not in module.source:
        return
    for node in nodes_of(module).calls:
        if not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        if node.func.attr not in _VALIDATES:
            continue
        scope = module.scope_of(node)
        if models.named(node.func.value, scope) is not schema:
            continue
        if is_true(keyword(node, "from_attributes")) or schema.is_sqlmodel or any(map(_is_configured, schema.classes)):
            model = instance_of(node.args[0], scope, models)
            if model is not None:
                yield model


def _is_configured(schema: ModelClass) -> bool:
    if any(each.arg in _READS and is_true(each.value) for each in schema.node.keywords):
        return True
    config = schema.attributes.get("model_config")
    if config is not None and isinstance(config.value, ast.Call):
        return any(is_true(keyword(config.value, name)) for name in _READS)
    if config is not None and isinstance(config.value, ast.Dict):
        return any(
            text_of(key) in _READS and is_true(value)
            for key, value in zip(config.value.keys, config.value.values, strict=True)
        )
    inner = schema.attributes.get("Config")
    if inner is not None and isinstance(inner.node, ast.ClassDef):
        settings = schema.models.of(inner.node, schema.module).attributes
        return any(name in settings and is_true(settings[name].value) for name in _READS)
    return False


def _validates_before(schema: ModelClass) -> bool:
    """Tell whether a validator makes something else of the object first."""
    for attribute in schema.attributes.values():
        if attribute.name in _VALIDATES and isinstance(attribute.node, ast.FunctionDef):
            return True
        for decorator in getattr(attribute.node, "decorator_list", ()):
            if not isinstance(decorator, ast.Call):
                continue
            symbol = schema.models.project.resolve(decorator.func, schema.scope)
            name = symbol.name.rpartition(".")[2] if isinstance(symbol, External) else ""
            if name == "model_validator" and text_of(keyword(decorator, "mode")) in ("before", "wrap"):
                return True
            if name == "root_validator" and is_true(keyword(decorator, "pre")):
                return True
    return False
