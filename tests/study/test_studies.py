"""Studies: resumed where they were, each number what it is said to be, pages that open anywhere, mistakes in a line."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from naturalize import api
from naturalize.errors import UserError
from naturalize.predictor import make
from naturalize.search import search
from naturalize.space import SearchSpace, Variable
from naturalize.study import searches
from naturalize.study.adaptation import uniform_distribution
from naturalize.study.predictors import Pairs, predictors_study
from naturalize.study.searches import operators_study, search_study
from naturalize.study.sources import RunErrors, costs_of, read_truth, run_pairs
from naturalize.study.studies import study_predictors, study_search
from naturalize.study.study import Cell, Row, Study, curves, run_study
from naturalize.study.truths import dtlz2

SPACE = SearchSpace("small", [Variable(f"v{i}", 0, 4) for i in range(6)])


def counting(out: Path, seeds: Sequence[int] = range(4)) -> Study:
    """A study whose cells each leave a line in a file."""

    def measure(cell: Cell) -> list[Row]:
        with (out / "measured").open("a") as file:
            file.write(f"{cell['seed']}\n")
        return [{"value": 10.0 * cell["seed"]}, {"value": 10.0 * cell["seed"] + 1}]

    return Study(
        "counting",
        "How <many>?",
        [{"name": "a/b", "seed": seed} for seed in seeds],
        measure,
        lambda rows: [curves(rows, "seed", "value", "name", "over seeds", x_title="seed", y_title="value")],
        lambda rows: [],
        lambda rows: f"There are {len(rows)} rows.",
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        run_study(counting(tmp_path), out, jobs=1, progress=stop)
    assert len(list((out / "cells").iterdir())) == 2
    assert not (out / "results.csv").exists()
    found = run_study(counting(tmp_path), out, jobs=1)
    assert sorted(lines(tmp_path / "measured")) == ["0", "1", "2", "3"]
    assert [row["value"] for row in found.rows] == [0, 1, 10, 11, 20, 21, 30, 31]
    assert found.conclusion == "There are 8 rows."
    run_study(counting(tmp_path, range(6)), out, jobs=1)
    assert sorted(lines(tmp_path / "measured")) == ["0", "1", "2", "3", "4", "5"]
    next((out / "cells").iterdir()).write_text("[{")
    assert run_study(counting(tmp_path), out, jobs=1).rows == found.rows


def test_a_study_in_processes_is_the_same(tmp_path: Path) -> None:
    one, two = (run_study(counting(tmp_path), tmp_path / name, jobs=n) for name, n in (("one", 1), ("two", 2)))
    assert one.rows == two.rows
    assert (tmp_path / "one" / "results.csv").read_bytes() == (tmp_path / "two" / "results.csv").read_bytes()


def test_table_and_page_hold_everything(tmp_path: Path) -> None:
    found = run_study(counting(tmp_path), tmp_path / "study", jobs=1)
    with (tmp_path / "study" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[3] == {"name": "a/b", "seed": "1", "value": "11.0"}
    page = found.page.read_text(encoding="utf-8")
    assert "How &lt;many&gt;?" in page
    assert "There are 8 rows." in page
    assert 'src="http' not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    band, line = data["figures"][0]["data"]
    assert line["y"] == [0.5, 10.5, 20.5, 30.5]
    np.testing.assert_allclose(band["y"][:4], np.array(line["y"]) + np.sqrt(0.5))


def test_another_directory_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="no study"):
        run_study(counting(tmp_path), tmp_path / "mine", jobs=1)
    run_study(counting(tmp_path), tmp_path / "study", jobs=1)
    with pytest.raises(UserError, match="another study"):
        run_study(search_study({"dtlz2": dtlz2(2, 3)}, [0], 5, ["random"]), tmp_path / "study", jobs=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def made_up_pairs(name: str, noise: float) -> Pairs:
    rng = np.random.default_rng(len(name))
    codes = SPACE.sample_distinct(160, rng)
    return Pairs(name, SPACE, codes, 50 - 3 * codes.sum(axis=1) + rng.normal(0, noise, 160), measure_s=0.5)


def test_predictors_are_judged_on_rows_that_they_never_saw(tmp_path: Path) -> None:
    every = [made_up_pairs("easy", 0.1), made_up_pairs("hard one", 9.0)]
    names = ("gaussian-process", "cart")
    found = run_study(predictors_study(every, range(2), names), tmp_path / "study", jobs=1)
    assert {row["pairs"] for row in found.rows} == {50, 100}
    order = np.random.default_rng(1).permutation(160)
    train, test = order[:50], order[100:]
    twin = make("cart", SPACE, 1).fit(every[1].codes[train], every[1].error[train])
    tau = kendalltau(twin.predict(every[1].codes[test]), every[1].error[test]).statistic
    wanted = {"data": "hard one", "predictor": "cart", "seed": 1, "pairs": 50}
    (row,) = [row for row in found.rows if row.items() >= wanted.items()]
    assert row["kendall"] == pytest.approx(tau)
    assert found.conclusion.startswith("After 100 measurements gaussian-process ranks best")
    assert "on the hardest" in found.conclusion
    assert "takes 0.5 s" in found.conclusion
    easy, hard = (
        np.mean([r["kendall"] for r in found.rows if (r["data"], r["predictor"], r["pairs"]) == (name, "cart", 50)])
        for name in ("easy", "hard one")
    )
    told = f"<td>{(easy + hard) / 2:.3f} ({abs(easy - hard) / np.sqrt(2):.3f})</td>"
    assert told in found.page.read_text(encoding="utf-8")


def test_searches_are_drawn_as_their_archives_have_it(tmp_path: Path) -> None:
    truth = dtlz2(2, 6)
    found = run_study(search_study({"dtlz2": truth}, range(2), 60, ["auto", "random"]), tmp_path / "study", jobs=1)
    rows = [row for row in found.rows if (row["method"], row["seed"]) == ("random", 1)]
    archive = search(
        truth.space, truth.evaluate, truth.objectives, limits=truth.limits, method="random", evaluations=60, seed=1
    )
    reached = archive.hypervolumes(truth.reference)
    assert [row["hypervolume"] for row in rows] == [reached[row["after"] - 1] for row in rows]
    assert rows[-1]["after"] == 60
    assert "auto has the most" in found.conclusion
    assert "what random, the best without a predictor" in found.conclusion


def test_operators_are_compared_on_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in {"CROSSOVERS": (0.2, 0.9), "MUTATIONS": (0.1,), "ETAS": (1.0, 20.0)}.items():
        monkeypatch.setattr(searches, name, values)
    found = run_study(operators_study({"dtlz2": dtlz2(3, 6)}, range(2), 60), tmp_path / "study", jobs=1)
    ends: dict[tuple[float, float], list[float]] = {}
    for row in found.rows:
        ends.setdefault((row["crossover"], row["eta"]), []).append(row["hypervolume"])
    assert len(ends) == 4
    assert all(len(values) == 2 for values in ends.values())
    crossover, eta = max(ends, key=lambda place: sum(ends[place]))
    assert f"60 evaluations, crossover {crossover:g} with mutation 0.1 (eta {eta:g}) has" in found.conclusion


def test_uniform_shares_leave_out_what_a_variable_has_not() -> None:
    space = SearchSpace("s", [Variable("a", 1, 2), Variable("b", 0, 3)])
    np.testing.assert_allclose(uniform_distribution(space), [[0, 0.5, 0.5, 0], [0.25] * 4], atol=0.02)


# on runs and tables --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared supernet for small pictures."""
    out = tmp_path_factory.mktemp("runs") / "bands"
    api.prepare(str(bands), out, supernet="mini", epochs=1, listeners=())
    return out


def test_pairs_of_a_run_are_its_subnets_measured_and_go_on_where_they_stopped(run: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop_at_the_third(name: str, done: int, total: int) -> None:
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"drawn": 100, "predictors": ["cart"], "seeds": 1, "jobs": 1}
    with pytest.raises(KeyboardInterrupt):
        study_predictors([run], tmp_path / "study", **arguments, progress=stop_at_the_third)
    del seen[:]
    found = study_predictors([run], tmp_path / "study", **arguments, progress=lambda name, done, n: seen.append(done))
    assert seen[0] == 3
    assert {row["pairs"] for row in found.rows} == {50}
    pairs = run_pairs(run, 100, tmp_path / "study", 1, lambda *progress: None)
    assert len(pairs.codes) == len({tuple(code) for code in pairs.codes.tolist()}) == 100
    np.testing.assert_array_equal(RunErrors(run)(pairs.codes[:3])["error"], pairs.error[:3])
    assert pairs.measure_s is not None
    assert 0 < pairs.measure_s < 10


def test_a_run_is_a_truth_whose_errors_are_measured(run: Path, tmp_path: Path) -> None:
    truth = read_truth(run, None)
    found = study_search([run], tmp_path / "study", methods=["random"], evaluations=4, seeds=1, jobs=2)
    assert found.rows[-1]["after"] == 4
    archive = truth.search(4, method="random")
    assert found.rows[-1]["hypervolume"] == pytest.approx(archive.hypervolumes(truth.reference)[-1])
    assert "preparation" in found.page.read_text(encoding="utf-8")


def test_costs_are_told_by_what_they_were_spent_on(tmp_path: Path) -> None:
    spent = {"scan": 5.0, "prepare": 15.0, "measure": 30.0, "fit": 1.0, "search": 4.0, "adapt": 40.0, "final": 5.0}
    events = [{"event": "phase", "phase": phase, "seconds": seconds} for phase, seconds in spent.items()]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    rows = {row[0]: row[2] for row in costs_of(tmp_path).rows}
    assert rows["preparation"] == "20%"
    assert rows["search: predictor and search"] == "5%"
    assert rows["after the search"] == "5%"


def test_a_table_is_a_truth_and_its_rows_are_all_that_is_measured(published_data: Path) -> None:
    path = published_data / "ofa-mbv3-w1.0-imagenet.csv"
    truth = read_truth(path, "ofa-mbv3-w1.0")
    assert truth.candidates is not None
    assert len(truth.candidates) > 400
    everything = truth.evaluate(truth.candidates)["error"]
    assert everything.min() == pytest.approx(22, abs=2)
    archive = truth.search(30)
    assert archive.failed == 0
    assert 0.5 < truth.shares(archive)[-1] <= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no run, no table"),
        ("architecture,size\n", "no column of errors"),
        ("network,top1\n0,70\n", "architecture"),
        ("architecture,top1\nabc,70\n", "abc"),
        ("architecture,top1\n08053004710520037775250,much\n", "no column of errors"),
        ("\0\x9e\0", "no t"),
        ("", "empty"),
        ("architecture,error\n08053004710520037775250,-3\n", "errors outside of 0 to 100 percent, from -3 to -3"),
        ("architecture,top1\n", "no row with an architecture and an error"),
        ("architecture,top1\n08053004710520037775250,inf\n08053004710520037775250\n", "no row with"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_truth(path, "ofa-mbv3-w1.0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sources": ["a.csv"]}, "say which supernet"),
        ({"sources": ["dtlz2"], "seeds": 0}, "--seeds 0"),
        ({"sources": ["dtlz2"], "methods": ["rondom"]}, "did you mean random"),
        ({"sources": ["dtlz2"], "evaluations": 0}, "--evaluations 0"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        study_search(arguments.pop("sources"), tmp_path / "study", **arguments)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("damage", [lambda whole: whole[:4000], lambda whole: b"", lambda whole: b"PK" + whole[2:99]])
def test_what_is_no_fitted_truth_is_refused_in_a_line(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "truth.npz"
    np.savez(path, X=np.zeros(1000))
    for _ in range(2):
        with pytest.raises(UserError, match=r"truth\.npz is no fitted truth, or a damaged one"):
            read_truth(path, None)
        path.write_bytes(damage(path.read_bytes()))


def test_errors_that_are_all_the_same_rank_nothing(tmp_path: Path) -> None:
    same = Pairs("same", SPACE, SPACE.sample_distinct(120, np.random.default_rng(0)), np.full(120, 7.0))
    found = run_study(predictors_study([same], range(1), ["cart"]), tmp_path / "study", jobs=1)
    assert {row["kendall"] for row in found.rows} == {0.0}


def test_too_few_pairs_to_judge_by_are_refused() -> None:
    with pytest.raises(UserError, match="few has 80 measured architectures, and 100 are needed"):
        predictors_study([Pairs("few", SPACE, SPACE.corners()[[0] * 80], np.zeros(80))], range(2))


def test_an_unknown_predictor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown predictor"):
        study_predictors(["x.csv"], tmp_path / "study", predictors=["forest"])
