"""What the rules on models stand on: classes, columns and tables as SQLAlchemy would see them."""

from sage_migrate.lint.models.classes import RESERVED, Attribute, GeneratedBase, ModelClass, Models, models_of

__all__ = ["RESERVED", "Attribute", "GeneratedBase", "ModelClass", "Models", "models_of"]
