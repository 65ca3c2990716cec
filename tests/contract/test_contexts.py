"""Every picker on the shelf keeps the contract."""

import pytest

from limbeck import registry
from limbeck.testing.contexts import check_picker


@pytest.mark.parametrize("name", list(registry.names("contexts")))
def test_the_picker_keeps_its_contract(name):
    check_picker(registry.take("contexts", name))
