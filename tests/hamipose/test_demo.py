import json

import pytest

from hamipose.cli.demo import main
from hamipose.errors import UserError


@pytest.mark.slow
def test_demo_writes_a_report_and_resumes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the people are rendered into cache/
    tiny = {
        "model.init_args.network.backbone": "test_resnet",
        "trainer.max_epochs": 1,
        "trainer.log_every_n_steps": 1,
        "data.steps_per_epoch": 2,
        "data.batch_size": 2,
        "data.source.init_args.count": 4,
        "data.validation.init_args.count": 2,
        "data.test.photo.init_args.count": 2,
        "trainer.enable_progress_bar": "false",
    }
    # The target is a list, so its whole value is given.
    people = {"root": "cache/people/target", "style": "photo", "count": 2, "size": 96, "seed": 2}
    inner = {"class_path": "hamipose.data.SyntheticPeople", "init_args": people}
    target = json.dumps([{"class_path": "hamipose.data.Unlabeled", "init_args": {"dataset": inner}}])
    overrides = [word for key, value in tiny.items() for word in (f"--{key}", str(value))]
    arguments = ["--out", "demo", "--seed", "3", *overrides, "--data.target", target]

    main([*arguments, "--minutes", "0"])
    first = capsys.readouterr().out
    assert "Mean teacher skipped, it would finish after 0 minutes: the same command again adds it" in " ".join(
        first.split()
    )
    assert "│mean teacher│" not in first
    assert (tmp_path / "demo/seed3/report.html").read_text().count("mean teacher") == 0

    main(arguments)
    first = capsys.readouterr().out
    for row in ("source only", "mean teacher", "HamiPose"):
        assert row in first
    report = (tmp_path / "demo/seed3/report.html").read_text()
    assert report.count("<img") == 3
    assert "conflict ratio" in report
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("demo/seed3/*/scores.json")}
    assert len(finished) == 4

    main(arguments)  # all runs are finished
    assert {p: p.stat().st_mtime_ns for p in finished} == finished

    # An interrupted last evaluation gives the same scores from the same weights.
    last = tmp_path / "demo/seed3/HamiPose"
    scores, trained = (last / "scores.json").read_text(), (last / "checkpoints/last.ckpt").stat().st_mtime_ns
    (last / "scores.json").unlink()
    main(arguments)
    assert (last / "scores.json").read_text() == scores
    assert (last / "checkpoints/last.ckpt").stat().st_mtime_ns == trained
    assert {p: p.stat().st_mtime_ns for p in finished if p.parent != last} == {
        p: time for p, time in finished.items() if p.parent != last
    }

    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("demo/**/*")}
    batch = arguments.index("--data.batch_size") + 1
    with pytest.raises(
        UserError, match=r"found --data.batch_size 2, requested --data.batch_size 4\); give another --out"
    ):
        main([*arguments[:batch], "4", *arguments[batch + 1 :]])
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("demo/**/*")} == kept
