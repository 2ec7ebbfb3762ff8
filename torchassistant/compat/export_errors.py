"""What torch.export raises, and has no public name for."""

from __future__ import annotations

_OF_VALUES = ("GuardOnDataDependentSymNode", "UnsupportedOperatorException", "DataDependentOutput")


def is_about_shapes(error: BaseException) -> bool:
    """Whether code fixes, or ties together, axes that were to be free.

    The class is ``torch._dynamo.exc.UserError``, known by its name, so that torch's compiler is
    not imported for the question; without it, nothing is about shapes.
    """
    kind = type(error)
    return kind.__name__ == "UserError" and "Suggested fixes" in str(error)


def is_about_values(error: BaseException) -> bool:
    """Whether code goes on by the values of a tensor, which are not known while it is traced.

    The classes, as ``torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode``, are known
    by their names; a new name leaves torch's own sentence.
    """
    name = type(error).__name__
    return name.startswith(_OF_VALUES) or "data-dependent" in str(error)
