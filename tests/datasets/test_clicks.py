"""The simulated click log has the shares, rates and dependence that it states."""

import numpy as np
import pytest
from lib.prepared import over_all, whole

from ple_jax.data.prepare import prepare
from ple_jax.datasets import clicks


def test_clicks_have_the_shares_and_rates_of_the_table():
    table = clicks.draw(100_000, 2_000, 500, 0.4, seed=1)
    domain, click = table["domain"].to_numpy() - 1, table["click"].to_numpy()
    rows = np.bincount(domain)
    np.testing.assert_allclose(rows / 1000, clicks.SHARES, atol=1e-9)
    rates = 100 * np.bincount(domain, click) / rows
    np.testing.assert_allclose(rates, clicks.CLICK_RATES, atol=50 / rows.min())
    bought = table["purchase"].to_numpy()
    assert not (bought > click).any()
    np.testing.assert_allclose(bought.sum() / click.sum(), 0.1, atol=0.005)


def test_clicks_are_drawn_the_same_again(tmp_path):
    build = lambda: clicks.build(40_000, 500, 100, purchase=True, seed=3)
    assert whole(build()).equals(whole(build()))
    data = prepare(build(), tmp_path / "prepared")
    assert data.facts["splits"]["train"]["base_rates"]["click"] > 0.02
    assert len(data.layout.domains) == 19
    np.testing.assert_array_equal(
        over_all(data, "observed")[:, 1], over_all(data, "labels")[:, 0] == 1
    )


def test_clicks_depend_on_the_domain_as_far_as_asked():
    def rates(effect):  # of clicks, by category and domain
        table = clicks.draw(200_000, 500, 100, effect, seed=0)
        domain, click = table["domain"].to_numpy(), table["click"].to_numpy()
        largest = [domain == number for number in (14, 8)]
        category = table["category"].to_numpy()
        return [np.bincount(category[d], click[d]) for d in largest]

    same, other = (np.corrcoef(*rates(effect))[0, 1] for effect in (0.0, 1.0))
    assert same > other + 0.05


def test_clicks_explain_mistakes():
    with pytest.raises(ValueError, match=r"data.examples must be at least 20000, got"):
        clicks.build(examples=10)
    with pytest.raises(ValueError, match=r"data.domain_effect must be in \[0, 1\]"):
        clicks.build(domain_effect=2.0)
