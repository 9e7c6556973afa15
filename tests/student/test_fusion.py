"""Fused scores are the weighted sum by video id; what does not fit together is named; a sweep reports elsewhere."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from student.fusion import align_streams, fuse_scores, keep_common, split_halves, sweep_weights
from student.score_tables import count_confusions, write_score_tables
from student.scores import (
    MissingVideo,
    ScoreError,
    Scores,
    load_scores,
    measure_accuracy,
    measure_calibration,
    save_scores,
)


def make_scores(seed: int, num_videos: int = 40, strength: float = 1.0) -> Scores:
    """Scores of three classes that lean to the right one."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_videos) % 3
    logits = generator.normal(size=(num_videos, 3)) + strength * np.eye(3)[labels]
    return Scores(tuple(f"v{i}" for i in range(num_videos)), logits.astype(np.float32), labels)


def shuffled(scores: Scores, seed: int = 0) -> Scores:
    rows = np.random.default_rng(seed).permutation(len(scores.labels))
    return Scores(tuple(scores.video_ids[row] for row in rows), scores.logits[rows], scores.labels[rows])


def test_the_sum_is_by_video_and_not_by_row() -> None:
    one, two = make_scores(1), make_scores(2)
    fused = fuse_scores([one, shuffled(two)], (1.0, 1.5))
    assert fused.video_ids == one.video_ids
    assert np.array_equal(fused.logits, one.logits + np.float32(1.5) * two.logits)


def test_what_does_not_fit_is_named() -> None:
    one = make_scores(1)
    lacking = Scores(one.video_ids[1:], one.logits[1:], one.labels[1:])
    with pytest.raises(ScoreError, match=r"stream 2 lacks 1 videos \(v0\): .*--common"):
        fuse_scores([one, lacking], (1, 1))
    with pytest.raises(ScoreError, match=r"rgb lacks 1 videos \(v0\)"):
        align_streams([lacking, one], ["rgb", "flow"])
    with pytest.raises(ScoreError, match=r"1 videos stand there more than once \(v1\)"):
        fuse_scores([one, replace(one, video_ids=("v1", *one.video_ids[1:]))], (1, 1))
    relabelled = replace(one, labels=np.where(np.arange(40) == 7, (one.labels + 1) % 3, one.labels))
    with pytest.raises(ScoreError, match=r"1 videos have another true class in each \(v7\)"):
        fuse_scores([one, relabelled], (1, 1))
    with pytest.raises(ScoreError, match="3 and 2 classes"):
        fuse_scores([one, replace(one, logits=one.logits[:, :2])], (1, 1))
    with pytest.raises(ValueError, match="expected 2 numbers of 0 or more"):
        fuse_scores([one, one], (1, -1))
    common = keep_common([one, replace(lacking, missing=(MissingVideo("v0", "corrupt", "x"),))])
    fused = fuse_scores(common, (1, 1))
    assert len(fused.video_ids) == 39
    assert [(video.video_id, video.reason) for video in fused.missing] == [("v0", "corrupt")]


def test_a_sweep_finds_the_better_stream() -> None:
    noise, signal = make_scores(3, strength=0.0), make_scores(4, strength=3.0)
    found = sweep_weights([noise, signal], (0.0, 1.0, 8.0))
    assert found.weights[0] == 1.0
    assert found.weights[1] > 0


def test_halves_are_disjoint_complete_and_the_same_for_every_stream() -> None:
    one, two = make_scores(1), shuffled(make_scores(2))
    halves, others = split_halves(one), split_halves(two)
    assert set(halves[0].video_ids) == set(others[0].video_ids)
    assert sorted(halves[0].video_ids + halves[1].video_ids) == sorted(one.video_ids)
    assert 10 < len(halves[0].video_ids) < 30


def test_the_command_fuses_sweeps_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "rgb.npz", tmp_path / "flow.npz"]
    for path, seed in zip(paths, (1, 2), strict=True):
        save_scores(make_scores(seed), path, summary={})
    write_score_tables(make_scores(2), ["a", "b", "c"], paths[1])
    main(["fuse", str(paths[0]), str(paths[1].with_suffix(".csv")), "--output", str(tmp_path / "sum.npz"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["videos"], report["weights"], report["selected_on"]) == (40, [1.0, 1.0], 0)
    expected = fuse_scores([make_scores(1), make_scores(2)], (1, 1))
    assert np.array_equal(load_scores(tmp_path / "sum.npz").logits, expected.logits)
    main(["fuse", *map(str, paths), "--sweep", "0,0.5,1,2", "--json"])
    swept = json.loads(capsys.readouterr().out)
    assert swept["videos"] + swept["selected_on"] == 40
    held_back = [tmp_path / "val-rgb.npz", tmp_path / "val-flow.npz"]
    for path, seed in zip(held_back, (3, 4), strict=True):
        validation = make_scores(seed)
        others = tuple(f"val-{video_id}" for video_id in validation.video_ids)
        save_scores(replace(validation, video_ids=others), path, summary={})
    select_on = [f"--select-on={path}" for path in held_back]
    main(["fuse", *map(str, paths), "--sweep", "0,1", *select_on])
    assert "chosen on 40 other videos" in capsys.readouterr().out
    with pytest.raises(SystemExit) as flattering:
        main(["fuse", *map(str, paths), "--sweep", "0,1", f"--select-on={paths[0]}", f"--select-on={paths[1]}"])
    assert flattering.value.code == 1
    assert "40 videos (v0, v1, v10, ...) are also reported on" in capsys.readouterr().err
    for wrong in (["--weights", "1:x"], ["--weights", "1"], ["--weights", "1:1", "--sweep", "1"], ["--sweep", "-1"]):
        with pytest.raises(SystemExit) as end:
            main(["fuse", *map(str, paths), *wrong])
        assert end.value.code == 2


def test_files_that_are_not_there_or_lack_videos_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, lacking = tmp_path / "whole.npz", tmp_path / "lacking.npz"
    scores = make_scores(1)
    save_scores(scores, whole, summary={})
    unread = (MissingVideo("v0", "truncated", "x"),)
    save_scores(Scores(scores.video_ids[1:], scores.logits[1:], scores.labels[1:], unread), lacking, summary={})

    def fault(code: int, text: str, *arguments: str | Path) -> None:
        with pytest.raises(SystemExit) as end:
            main(["fuse", *map(str, arguments)])
        assert end.value.code == code
        assert text in capsys.readouterr().err

    fault(1, "nosuch.npz: no such file; kinet-pipeline evaluate writes them to runs/RUN/scores", "nosuch.npz")
    fault(1, "nosuch.npz: no such file", whole, tmp_path / "nosuch.npz")
    fault(2, "two score files or more, found 1", whole)
    fault(1, f"{lacking} lacks 1 videos (v0)", whole, lacking)
    fault(1, f"{lacking} lacks 1 videos (v0)", lacking, whole)
    (tmp_path / "text.npz").write_text("text")
    fault(1, "text.npz: cannot be read", whole, tmp_path / "text.npz")
    main(["fuse", str(whole), str(lacking), "--common"])
    assert "39 videos, 1 missing: v0 (truncated)" in capsys.readouterr().out


def test_folds_are_fused_one_by_one_and_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fold in (1, 2, 3):
        for seed, stream in enumerate(("rgb", "flow")):
            scores = make_scores(10 * fold + seed, num_videos=30 + fold)
            save_scores(scores, tmp_path / f"{stream}-fold{fold}.npz", summary={})
    files = [str(tmp_path / f"{stream}-fold{{fold}}.npz") for stream in ("rgb", "flow")]
    command = ["fuse", *files, "--weights", "1:2", "--folds", "1,2,3"]
    main([*command, "--output", str(tmp_path / "sum{fold}.npz"), "--json"])
    report = json.loads(capsys.readouterr().out)
    by_hand = []
    for fold in (1, 2, 3):
        pair = [make_scores(10 * fold + seed, num_videos=30 + fold) for seed in (0, 1)]
        by_hand.append(measure_accuracy(fuse_scores(pair, (1, 2))).top1)
        assert report["folds"][str(fold)]["top1"] == by_hand[-1]
        assert measure_accuracy(load_scores(tmp_path / f"sum{fold}.npz")).top1 == by_hand[-1]
    assert report["top1"] == pytest.approx(np.mean(by_hand))
    assert report["single_top1"][1] == pytest.approx(
        np.mean([fold["single_top1"][1] for fold in report["folds"].values()])
    )
    main(command)
    out = capsys.readouterr().out
    assert out.count("fused 1:2: top-1") == 3
    assert f"mean of 3 folds: alone top-1 {report['single_top1'][0]:.1%}, " in out
    with pytest.raises(SystemExit) as end:
        main(["fuse", files[0], str(tmp_path / "flow-fold1.npz"), "--folds", "1,2"])
    assert end.value.code == 2
    assert "would be taken for every fold; put {fold}" in capsys.readouterr().err


def test_tables_round_trip_and_count_as_by_hand(tmp_path: Path) -> None:
    scores = Scores(("a", "b", "c"), np.array([[2, 0, 1], [3, 0, 1], [0, 1, 9]], np.float32) / 3, np.array([0, 1, 1]))
    assert count_confusions(scores).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    tables = write_score_tables(scores, ["run", "jump"], tmp_path / "s.npz")
    found = load_scores(Path(tables["scores_csv"]))
    assert found.video_ids == scores.video_ids
    assert np.array_equal(found.logits, scores.logits)
    assert Path(tables["classes_csv"]).read_text().splitlines() == [
        "class,name,videos,right,accuracy,most_confused_with",
        "0,run,1,1,1.0000,",
        "1,jump,2,0,0.0000,run",
        "2,,0,0,,",
    ]
    assert Path(tables["confusion_csv"]).read_text().splitlines()[2] == "jump,1,0,1"


def test_calibration_by_hand() -> None:
    """Four videos at probability 3/4 for their best class: three right is calibrated, none right is off by 3/4."""
    logits = np.tile(np.log(np.array([3.0, 1.0], np.float32)), (4, 1))
    ids = ("a", "b", "c", "d")
    assert measure_calibration(Scores(ids, logits, np.array([0, 0, 0, 1]))) == pytest.approx(0.0, abs=1e-6)
    assert measure_calibration(Scores(ids, logits, np.array([1, 1, 1, 1]))) == pytest.approx(0.75, abs=1e-6)
