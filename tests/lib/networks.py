"""Small networks, one example at a time, and copies of them side by side."""

import jax
import numpy as np


def softmax(values):
    odds = np.exp(np.array(values) - np.max(values))
    return odds / odds.sum()


def dense(params, x):
    return x @ params["kernel"] + params["bias"]


def mlp(params, x):
    for layer in sorted(params):
        x = np.maximum(dense(params[layer], x), 0)
    return x


def at(params, i):
    return jax.tree.map(lambda leaf: leaf[i], params)


def expert(params, e, x):
    return mlp(at(params, e), x)


def towers_of(towers, t, h):
    if "mlp" in towers:
        h = expert(towers["mlp"], t, h)
    return dense(at(towers["heads"], t), h)


def tower(params, t, h):
    return towers_of(params["towers"], t, h)[0]


def gate(kernel, selector):
    return softmax(selector @ kernel)
