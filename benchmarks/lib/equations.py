"""What a training step needs by a model's equations, part by part, from shapes alone.

Nothing here knows how the library computes. A multiplication with an addition is two
operations. A product of two things that both need gradients is computed three times,
forward and for each of them; the input needs a gradient where it is an embedding, not
where it is a number. Everything else counts one operation an element and equation, and
exponentials, logarithms and roots none, as the compiler counts.
"""

import dataclasses

ADAM = 13  # two moments (3 + 4), their biases (2), the step (3), the sum (1)
SOFTMAX = 8  # largest, difference, sum, ratio; backward dot (2), difference, product
LOSS = 12  # y log p + (1 - y) log(1 - p), weighted, averaged; backward p - y, weighted


@dataclasses.dataclass(frozen=True)
class Need:
    """What a part of the model adds to a step.

    Attributes:
        operations: Forward and backward, without the optimizer.
        kept: Activations, in floats, that the backward pass reads.
        parameters: Dense parameters.
    """

    operations: float = 0
    kept: float = 0
    parameters: int = 0

    def __add__(self, other: "Need") -> "Need":
        return Need(
            self.operations + other.operations,
            self.kept + other.kept,
            self.parameters + other.parameters,
        )


@dataclasses.dataclass(frozen=True)
class Input:
    """What a layer reads.

    Attributes:
        width: Numbers an example.
        slopes: How many of them need a gradient.
    """

    width: int
    slopes: int


def activations(width: int) -> Input:
    """The output of another layer: all of it needs a gradient."""
    return Input(width, width)


def dense(
    batch: int,
    x: Input,
    outputs: int,
    copies: int = 1,
    bias: bool = True,
    domains: int = 1,
) -> Need:
    """y = W x + b, `copies` times side by side, each domain with its own.

    An example goes through its own domain's copies only.
    """
    joint = batch * copies * outputs
    return Need(
        joint * (2 * (2 * x.width + x.slopes) + 2 * bias),
        parameters=domains * copies * (x.width + bias) * outputs,
    )


def rectified(batch: int, units: int) -> Need:
    """h = max(a, 0); dh/da is read off h."""
    return Need(2 * batch * units, batch * units)


def mlps(
    batch: int, x: Input, dims: tuple[int, ...], copies: int = 1, domains: int = 1
) -> Need:
    """h <- max(W h + b, 0), layer after layer."""
    need = Need()
    for width in dims:
        need += dense(batch, x, width, copies, domains=domains)
        need += rectified(batch, copies * width)
        x = activations(width)
    return need


def towers(
    batch: int,
    x: Input,
    dims: tuple[int, ...],
    count: int,
    outputs: int = 1,
    domains: int = 1,
) -> Need:
    """Hidden layers, then linear heads, whose logits are kept for the loss."""
    need = mlps(batch, x, dims, count, domains)
    last = activations(dims[-1]) if dims else x
    need += dense(batch, last, outputs, count, domains=domains)
    return need + Need(kept=batch * count * outputs)


def gates(batch: int, x: Input, pairs: int, bias: bool = False, domains: int = 1):
    """w = softmax(W x): a logit for each pair of a gate and an expert that it sees."""
    need = dense(batch, x, pairs, bias=bias, domains=domains)
    return need + Need(SOFTMAX * batch * pairs, batch * pairs)


def mixtures(batch: int, count: int, pairs: int, width: int) -> Need:
    """y_g = sum_e w_ge f_e: weights and outputs both need gradients."""
    return Need(6 * batch * pairs * width, batch * count * width)


def mixed(batch: int, products: float, out: float, parameters: int) -> Need:
    """A linear map whose factors both need gradients; `products` and `out` by example.

    Stitches, skip connections, attention.
    """
    return Need(6 * batch * products, batch * out, parameters)


def normalised(batch: int, width: int, domains: int) -> Need:
    """z = (s s_p) (x - mean_p) / sqrt(var_p + eps) + (b + b_p), with its moments.

    Forward: two sums and a difference, a square for the moments, a difference, a
    product, a sum. Backward: the slope and the shift, two sums more, and their way back
    through the moments.
    """
    return Need(17 * batch * width, batch * width, (domains + 1) * 2 * width)


def reweighted(domains: int, x: int, dims: tuple[int, ...]) -> Need:
    """W * W_p and b + b_p of the star's layers, and back: once a domain."""
    weights = terms = 0
    for width in dims:
        weights, terms, x = weights + x * width, terms + width, width
    return Need(domains * (3 * weights + 2 * terms) + domains * (weights + terms))
