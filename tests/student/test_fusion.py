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
    with pytest.raises(ScoreError, match=r"scores stream 2: 1 videos stand there more than once \(v1\)"):
        fuse_scores([one, replace(one, video_ids=("v1", *one.video_ids[1:]))], (1, 1))
    relabelled = replace(one, labels=np.where(np.arange(40) == 7, (one.labels + 1) % 3, one.labels))
    with pytest.raises(ScoreError, match=r"1 videos have another true class in each \(v7\)"):
        fuse_scores([one, relabelled], (1, 1))
    with pytest.raises(ScoreError, match="3 and 2 classes"):
        fuse_scores([one, replace(one, logits=one.logits[:, :2])], (1, 1))
    for weights in ((1, -1), (0, 0), (1, float("inf")), (float("nan"), 1), (1e39, 1), (1e-60, 0)):
        with pytest.raises(ValueError, match="expected finite numbers of 0 or more, one of them above 0"):
            fuse_scores([one, one], weights)
    with pytest.raises(ValueError, match="beyond float32"):
        fuse_scores([one, one], (3e38, 3e38))
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


def test_missing_videos_are_parted_as_those_that_are_there() -> None:
    whole = make_scores(1)
    expected = split_halves(whole)
    missing = tuple(MissingVideo(video_id, "truncated", "x") for video_id in whole.video_ids[:12])
    lacking = Scores(whole.video_ids[12:], whole.logits[12:], whole.labels[12:], missing)
    for half, found in zip(expected, split_halves(lacking), strict=True):
        assert {video.video_id for video in found.missing} | set(found.video_ids) == set(half.video_ids)
        assert 0 < len(found.missing) < 12
    with pytest.raises(ScoreError, match="1 videos: too few to part, one half is empty; give --select-on or --weights"):
        split_halves(make_scores(1, num_videos=1))


def test_one_stream_that_knows_what_is_missing_is_enough() -> None:
    one = make_scores(1)
    unknown = replace(one, missing_known=False)
    told = replace(one, missing=(MissingVideo("gone", "truncated", "x"),))
    for streams, expected in (((unknown, told), 1), ((told, unknown), 1), ((unknown, unknown), None)):
        for prepared in (streams, keep_common(streams)):
            figures = measure_accuracy(fuse_scores(prepared, (1, 1)))
            assert figures.missing == expected
            assert (figures.top1_lower is None) == (figures.top1_upper is None) == (expected is None)
    assert measure_accuracy(split_halves(unknown)[1]).missing is None


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
    weights = [["--weights", text] for text in ("1:x", "0:0", "1:inf", "1e39:1", "1")]
    for wrong in (*weights, ["--weights", "1:1", "--sweep", "1"], ["--sweep", "-1"]):
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
    fault(1, "text.npz: cannot be read (no npz file)", whole, tmp_path / "text.npz")
    (tmp_path / "empty.csv").write_text("")
    fault(
        1,
        "empty.csv: cannot be read (columns video_id, label, logit_0, ... expected",
        whole,
        tmp_path / "empty.csv",
    )
    (tmp_path / "short.csv").write_text("video_id,label,logit_0,logit_1\nv0,1,0.5,1\nv1,1,0.5\n")
    fault(1, "short.csv: cannot be read (line 3: 4 columns expected, found 3)", whole, tmp_path / "short.csv")
    twice = replace(scores, video_ids=("v1", *scores.video_ids[1:]))
    save_scores(twice, tmp_path / "twice.npz", summary={})
    fault(1, "twice.npz: 1 videos stand there more than once (v1)", tmp_path / "twice.npz", whole)
    one = [tmp_path / "one.npz"] * 2
    save_scores(make_scores(1, num_videos=1), one[0], summary={})
    fault(1, "1 videos: too few to part", *one, "--sweep", "0,1")
    main(["fuse", str(whole), str(lacking), "--common"])
    assert "39 videos, 1 missing: v0 (truncated)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@pytest.mark.parametrize(
    ("row", "logit", "label", "told"),
    [
        (3, np.nan, 0, "video v3: logit 1 is nan"),
        (5, -np.inf, 0, "video v5: logit 1 is -inf"),
        (2, 1.0, 3, "video v2: label 3, expected 0 to 2"),
        (7, 1.0, -1, "video v7: label -1, expected 0 to 2"),
    ],
)
def test_values_that_cannot_be_are_named(
    tmp_path: Path, suffix: str, row: int, logit: float, label: int, told: str
) -> None:
    scores = make_scores(1, num_videos=9)
    scores.logits[row, 1], scores.labels[row] = logit, label
    if suffix == ".npz":
        save_scores(scores, tmp_path / "s.npz", summary={})
    else:
        rows = [
            f"{name},{of},{','.join(map(str, logits))}"
            for name, of, logits in zip(scores.video_ids, scores.labels, scores.logits.tolist(), strict=True)
        ]
        (tmp_path / "s.csv").write_text("\n".join(["video_id,label,logit_0,logit_1,logit_2", *rows]) + "\n")
    with pytest.raises(ScoreError, match=f"s{suffix}: {told}"):
        load_scores(tmp_path / f"s{suffix}")


def test_a_table_s_missing_videos_stand_beside_it_or_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = []
    for name, seed in (("rgb", 1), ("flow", 2)):
        scores = replace(make_scores(seed), missing=(MissingVideo("gone", "truncated", "x"),))
        save_scores(scores, tmp_path / f"{name}.npz", summary={})
        tables.append(write_score_tables(scores, ["a", "b", "c"], tmp_path / f"{name}.npz")["scores_csv"])
    assert load_scores(Path(tables[0])).missing == load_scores(tmp_path / "rgb.npz").missing
    main(["fuse", *tables])
    assert "40 videos, 1 missing: gone (truncated)" in capsys.readouterr().out
    for name in ("rgb", "flow"):
        (tmp_path / f"{name}.json").unlink()
    main(["fuse", *tables, "--output", str(tmp_path / "sum.npz")])
    assert "40 videos, missing unknown\n" in capsys.readouterr().out
    assert not load_scores(tmp_path / "sum.npz").missing_known
    main(["fuse", *tables, "--json"])
    assert json.loads(capsys.readouterr().out)["missing"] is None
    (tmp_path / "rgb.json").write_text("{}")
    with pytest.raises(ScoreError, match=r"rgb\.json: cannot be read .*the missing videos stand there"):
        load_scores(Path(tables[0]))


def test_an_output_that_would_overwrite_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(tmp_path / "rgb.npz"), str(tmp_path / "flow.csv")]
    (tmp_path / "other.json").write_text("{}")

    def refuse(output: str, told: str, *more: str) -> None:
        with pytest.raises(SystemExit) as end:
            main(["fuse", *paths, "--output", str(tmp_path / output), *more])
        assert end.value.code == 2
        assert told in " ".join(capsys.readouterr().err.split())

    # The score files are not there: it is told before they are looked for.
    refuse("sum.json", "expected a name that ends in .npz")
    refuse("sum", "expected a name that ends in .npz")
    refuse("rgb.npz", f"would overwrite {paths[0]} or its .json")
    refuse("flow.npz", f"would overwrite {paths[1]} or its .json")
    refuse("other.npz", f"would overwrite {tmp_path}/other.json, which fuse did not write")
    refuse(
        "val.npz", "or its .json", "--sweep", "1", f"--select-on={tmp_path}/val.npz", f"--select-on={tmp_path}/v.npz"
    )
    paths = [str(tmp_path / "rgb{fold}.npz"), str(tmp_path / "x{fold}.npz")]
    refuse("rgb{fold}.npz", f"would overwrite {tmp_path}/rgb1.npz", "--folds", "1,2")
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        save_scores(make_scores(1), tmp_path / "sum.json", summary={})
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_with_a_sweep_the_output_holds_what_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "rgb.npz", tmp_path / "flow.npz"]
    for path, seed in zip(paths, (1, 2), strict=True):
        save_scores(make_scores(seed), path, summary={})
    main(["fuse", *map(str, paths), "--sweep", "0,1", "--output", str(tmp_path / "sum.npz"), "--json"])
    report = json.loads(capsys.readouterr().out)
    written = load_scores(tmp_path / "sum.npz")
    assert written.video_ids == split_halves(make_scores(1))[1].video_ids
    main(["fuse", *map(str, paths), "--sweep", "0,1", "--output", str(tmp_path / "sum.npz")])  # its own is replaced
    assert measure_accuracy(written).top1 == report["top1"]
    assert json.loads((tmp_path / "sum.json").read_text())["selected_on"] == report["selected_on"] > 0


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
