"""The protocol that a run writes with its scores."""

import json
from pathlib import Path

import pytest

from meshtto.data import SpinAnnotations, ThreeDPW
from meshtto.methods.options import TestTimeOptions
from meshtto.test_time import SGD, Phase

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("in_validation", [False, True])
def test_protocol_names_evidence_only_if_used(tiny, tmp_path: Path, in_validation: bool):
    """Check that validation in training does not adapt by default, and that its curves have one point."""
    test_time = TestTimeOptions([Phase(1, SGD(1e-3))], in_validation=in_validation)
    options = {"method": "Dual", "out": str(tmp_path), "epochs": 1, "steps": 1, "test_time": test_time}
    trainer, method, data = tiny.trainer(options), tiny.model(options), tiny.data(options)
    data.test["dots"].box = "detector"
    trainer.fit(method, data)
    used = "val: truth, test/dots: truth"
    for name, adapted in (("scores", in_validation), ("scores-test", True)):
        if name == "scores-test":
            trainer.test(method, data, verbose=False)
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["protocol"]["evidence"] == (used if adapted else "not used")
        assert found["protocol"]["boxes"] == "val: ground truth, test/dots: detector"
        assert {len(curve) for curve in found["sets"]["val"]["against_steps"].values()} == {1 + adapted}


def test_data_sets_state_the_source_of_boxes():
    assert ThreeDPW("a").box_source == SpinAnnotations("a", "b").box_source == "ground truth"
    assert ThreeDPW("a", box="detector").box_source == "detector"
    assert SpinAnnotations("a", "b", box="file").box_source == "annotation file"
