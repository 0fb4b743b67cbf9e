"""Counts the arithmetic of a JAX function, from its trace: what has to be done, whatever the compiler makes of it."""

import math

import jax


def flops(function, *arguments) -> int:
    """Floating-point operations of all convolutions and matrix products in function(*arguments); a multiplication and
    an addition are two. What is elementwise is left out, and so are the zeros that strided gradients are filled with.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "conv_general_dilated":
            left, right = (variable.aval.shape for variable in equation.invars)
            numbers = parameters["dimension_numbers"]
            taps = math.prod(right[i] for i in numbers.rhs_spec[1:])  # channels in, then the window
            out = math.prod(equation.outvars[0].aval.shape)
            total += 2 * out * taps // math.prod(parameters["lhs_dilation"])
        elif name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * depth
        else:
            repeats = parameters.get("length", 1) if name == "scan" else 1
            total += repeats * sum(_count(inner) for inner in _inside(parameters.values()))
    return total


def _inside(values):
    """The traces within an equation's parameters: of a loop, a branch, a compiled or differentiated function."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _inside(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr
