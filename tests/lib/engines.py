"""An engine of this process, which sends all by pickle as the others do."""

import functools
import pickle
import random
from typing import NamedTuple


class Pickles(NamedTuple):
    """Calls functions here, in any order; what goes in and comes out is pickled."""

    workers: int = 2
    seed: int = 0

    def map(self, function, items):
        found = {i: sent(sent(function)(sent(items[i]))) for i in self.order(items)}
        return [found[i] for i in range(len(items))]

    def map_reduce(self, function, merge, items):
        found = self.map(function, items)
        return functools.reduce(merge, [found[i] for i in self.order(items)])

    def order(self, items):
        return random.Random(self.seed).sample(range(len(items)), len(items))


def sent(value):
    return pickle.loads(pickle.dumps(value))
