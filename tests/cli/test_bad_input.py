"""Bad input (issue 4, item 15): one clear line, exit code 2, nothing left behind."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Done, Finished, Quick, content_of, naturalize

Maker = Callable[..., Path]


def assert_refused(done: Done, *words: str) -> None:
    """One line on stderr that holds the words, nothing on stdout, code 2."""
    assert done.code == 2, done
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("naturalize: ")
    for word in words:
        assert word in line, line


@pytest.fixture
def photos(tmp_path: Path, picture_maker: Maker, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of eight pictures in photos/ of an otherwise empty working directory."""
    monkeypatch.chdir(tmp_path)
    return picture_maker(tmp_path / "photos", 8, "cat", "dog", size=(16, 12))


def empty(photos: Path) -> None:
    Path("d").mkdir()


def loose(photos: Path) -> None:
    (photos / "cat").rename("d")


def one_class(photos: Path) -> None:
    (photos / "dog").rename("dog")
    photos.rename("d")


def one_class_unreadable(photos: Path) -> None:
    for path in (photos / "dog").iterdir():
        path.write_bytes(b"")
    photos.rename("d")


def many_truncated(photos: Path) -> None:
    for path in sorted((photos / "dog").iterdir())[:6]:
        path.write_bytes(path.read_bytes()[:200])
    photos.rename("d")


def junk(photos: Path) -> None:
    Path("d/papers").mkdir(parents=True)
    for name in ("notes.txt", "papers/a.pdf", "papers/b.docx", "sound.mp3"):
        (Path("d") / name).write_bytes(b"nothing to see")


def splits_without_classes(photos: Path) -> None:
    Path("d").mkdir()
    (photos / "cat").rename("d/train")
    (photos / "dog").rename("d/test")


def unknown_split(photos: Path) -> None:
    Path("d").mkdir()
    photos.rename("d/train")
    Path("d/holdout").mkdir()


def archive(photos: Path) -> None:
    Path("d").mkdir()
    Path("d.zip").write_bytes(b"PK")


@pytest.mark.parametrize("command", ["transfer", "check", "prepare"])
@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (None, "nowhere/", ["nowhere", "no such file or folder"]),
        (empty, "d", ["d holds no class folders"]),
        (loose, "d", ["one class only"]),
        (one_class, "d", ["one class only, cat"]),
        (one_class_unreadable, "d", ["no readable picture left of dog"]),
        (many_truncated, "d", ["6 of 16 pictures cannot be read", "dog/000.jpg"]),
        (junk, "d", ["d holds", "papers"]),
        (splits_without_classes, "d", ["no class folders under train/"]),
        (unknown_split, "d", ["holdout"]),
        (archive, "d.zip", ["unpack it"]),
        (None, "photos/cat/000.jpg", ["photos/cat/000.jpg", "folder"]),
    ],
)
def test_data_that_cannot_be_used(
    photos: Path, quick: Quick, command: str, make: Callable[[Path], None] | None, data: str, words: list[str]
) -> None:
    if make is not None:
        make(photos)
    before = content_of(Path())
    done = quick(command, data, *(["--out", "deep/run"] if command != "check" else []))
    assert_refused(done, *words)
    assert content_of(Path()) == before
    assert not Path("deep").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--supernet minni", ["unknown supernet 'minni'", "mini"]),
        ("-o madds -o size", ["without error", "-o error -o madds"]),
        ("-o error -o error:int4", ["unknown objective 'error:int4'", "did you mean error:int8"]),
        ("-o error:int8 -o madds", ["error:int8 goes beside error", "-o error -o error:int8 -o madds"]),
        ("--require error:int8<5", ["error:int8 is measured"]),
        ("-o balanced-error@birds -o madds", ["one task", "write `balanced-error`"]),
        ("-o balanced_error -o madds", ["unknown objective 'balanced_error'", "did you mean balanced-error"]),
        ("--require balanced-error<5", ["balanced-error is measured"]),
        ("-o latency:gpu", ["unknown runtime 'gpu'", "cpu"]),
        ("-o latency:cpu -o latency:cpu,threads=1 -o error", ["an objective is given twice"]),
        ("-o error -o latency:phone.json", ["the table phone.json cannot be read: No such file or directory"]),
        ("-o error -o latency:phone.yml", ["the table phone.yml cannot be read"]),
        ("-o error -o latency:photos/cat.json", ["the table photos/cat.json cannot be read"]),
        ("--require latency:table.json<5ms", ["table.json is no table of latencies", "naturalize latency --for RUN"]),
        ("-o error -o latency:table.yaml", ["table.yaml is no look-up table of Once-for-All"]),
        ("-o error -o latency:command", ["latency:command names no program", "latency:command=./measure.sh"]),
        ("-o error -o latency:command=", ["names no program"]),
        ("-o error -o latency:command=./nowhere.sh", ["the program ./nowhere.sh is not there"]),
        ("-o error -o latency:command=./a_file", ["the program ./a_file may not be run: chmod +x"]),
        ("-o error -o latency:command=./other", ["the program ./other is a directory: name a file in it"]),
        ("-o error -o latency:command=board", ["the program board is not on the PATH: write ./board"]),
        ("-o error -o latency:command=./board_-v", ["./board gets the model's path alone, so put -v into a script"]),
        ("-o error -o latency:command=./board -o latency:command=other/../board", ["have one source: leave one out"]),
        ("-o error -o latency:gaps.yaml", ["gaps.yaml is no look-up table of Once-for-All", "without a mean"]),
        ("-o error -o energy:cpu", ["energy is measured by a program of yours", "energy:command=./joules.sh"]),
        ("-o error -o energy", ["unknown objective 'energy'", "energy:command=PROGRAM"]),
        ("-o error -o energy:table.json", ["energy is measured by a program of yours"]),
        ("--require energy:command=./a_file<5ms", ["'5ms' is no number of energy:command=./a_file", "mj"]),
        ("--require latency:cpu<5MB", ["'5MB' is no number of latency:cpu", "ms"]),
        ("--require size<1KB", ["nothing meets 'size<1KB'", " bytes (architecture "]),
        ("-o eror", ["unknown objective 'eror'", "did you mean error"]),
        ("-o error -o error", ["error"]),
        ("-o error -o madds -o params -o error", ["objective"]),
        ("--budget 5s", ["minimum is 30s"]),
        ("--budget 0", ["'0'", "20m"]),
        ("--budget 0m", ["minimum is 30s"]),
        ("--budget=-1m", ["'-1m'", "20m"]),
        ("--budget 20", ["'20'", "with its unit"]),
        ("--budget 20_min", ["'20 min'", "20m"]),
        ("--budget 1e9h", ["'1e9h'", "20m"]),
        ("--budget 9999999h", ["longer than a year"]),
        ("--budget nan", ["'nan'", "20m"]),
        ("--budget=", ["''", "20m"]),
        ("--iterations 0", ["--iterations 0", "1 or more"]),
        ("--iterations -3", ["--iterations -3", "1 or more"]),
        ("--iterations 1 --epochs 0", ["--epochs 0", "1 or more"]),
        ("--iterations two", ["--iterations", "integer"]),
        ("--seed -1", ["the seed is at least 0, not -1"]),
        (f"--seed {2**63}", ["the seed is at most"]),
        ("--budget 2m --iterations 2", ["--budget or --iterations, not both"]),
        ("--epochs 2", ["--epochs goes with --iterations"]),
        ("--require madds<1", ["'madds<1'", "smallest madds that can be reached is"]),
        ("--require madds>5M", ["'madds>5M'", "madds<5M"]),
        ("--require 900M<madds<1G", ["nothing meets '900M<madds<1G'", "largest madds that can be reached is"]),
        ("--require 5M<madds<2M", ["'5M<madds<2M'", "the number on the left is not below"]),
        ("--require 4M<madds<9M --require size<500KB", ["found that meets 4M<madds<9M and size<500KB: allow more"]),
        ("--require mads<5M", ["unknown objective 'mads'", "madds"]),
        ("--require error<5", ["error is measured"]),
        ("--require madds<-5M", ["'madds<-5M'"]),
        ("--classes cat,cow", ["'cow'", "cat, dog"]),
        ("--classes cat", ["lacks dog"]),
        ("--classes cat,dog,cat", ["cat twice"]),
        ("--supernet runs/nowhere", ["unknown supernet 'runs/nowhere'", "nor is there a file or directory"]),
        ("--supernet photos", ["photos is no run"]),
        ("--supernet a_file", ["a_file is damaged, truncated or no file of weights"]),
        ("--supernet photos --scratch", ["--scratch starts from nothing"]),
        ("--archive nowhere", ["nowhere"]),
        ("--archive photos", ["photos is no run"]),
        ("--out photos/run", ["lies in the data"]),
        ("--out photos", ["lies in the data"]),
        ("--out a_file", ["a_file is a file"]),
        ("--out a_file/run", ["a_file/run"]),
        ("--out other", ["other exists and is no run"]),
        ("--out /proc/nobody/run", ["/proc/nobody/run"]),
        (f"--out {'x' * 300}", ["File name too long"]),
        ("--colour", ["no such option: --colour", "naturalize transfer --help"]),
    ],
)
def test_options_that_cannot_be_used(photos: Path, quick: Quick, options: str, words: list[str]) -> None:
    Path("a_file").write_text("mine")
    Path("table.json").write_text("[1, 2]")
    Path("table.yaml").write_text("- 1")
    Path("gaps.yaml").write_text("Conv: 1")
    Path("board").write_text("#!/bin/sh")
    Path("board").chmod(0o755)
    Path("other").mkdir()
    Path("other/diary.txt").write_text("mine")
    before = content_of(Path())
    given = [option.replace("_min", " min").replace("_-v", " -v") for option in options.split(" ")]
    assert_refused(quick("transfer", "photos", *([] if "--out" in given else ["--out", "run"]), *given), *words)
    assert content_of(Path()) == before
    assert not Path("run").exists()


@pytest.mark.parametrize("command", ["resume", "finish", "front", "report", "export", "predict"])
@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("nowhere", ["nowhere", "does not exist"]),
        ("photos", ["photos is no run"]),
        ("photos/cat/000.jpg", ["photos/cat/000.jpg"]),
    ],
)
def test_what_is_no_run(photos: Path, quick: Quick, command: str, run: str, words: list[str]) -> None:
    before = content_of(Path())
    more = {"export": ["--to", "m.onnx"], "predict": ["photos"]}.get(command, [])
    if command == "predict" and run == "nowhere":
        words = ["nowhere", "no such file or run"]
    if command == "predict" and run.endswith("jpg"):
        words = [*words, "ONNX"]
    assert_refused(quick(command, run, *more), *words)
    assert content_of(Path()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transfr"], ["no such command 'transfr'", "transfer"]),
        (["transfer"], ["missing argument 'DATA'", "naturalize transfer --help"]),
        (["check", "a", "b"], ["unexpected extra argument", "b"]),
        (["front"], ["missing argument 'RUN'"]),
        (["export", "x"], ["missing option '--to'"]),
        (["export", "x", "--to"], ["--to"]),
        (["predict", "x"], ["missing argument"]),
        (["--colour"], ["no such option: --colour", "naturalize --help"]),
        (["prepare", "x"], ["missing option '--out'"]),
        (["check", ""], ["a path is empty"]),
        (["transfer", "digits", "--classes", ""], ["--classes", "empty name"]),
        (["transfer", "digits", "--classes", "1,,2"], ["--classes", "empty name"]),
        (["transfer", "digits", "--supernet", __file__], ["no file of weights"]),
        (["transfer", "/dev/null"], ["/dev/null", "neither"]),
    ],
)
def test_usage_is_told_in_one_line(quick: Quick, arguments: list[str], words: list[str]) -> None:
    done = quick(*arguments)
    assert_refused(done)
    for word in words:
        assert word.lower() in done.err.lower()


def test_an_empty_path_is_not_the_current_directory(finished: Finished, quick: Quick) -> None:
    assert_refused(quick("predict", finished.directory, ""), "a path is empty")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transfer", "photos", "--out", "run", "--require", "madds<1"], ["smallest madds"]),  # S04
        (["front", "photos"], ["is no run"]),
        (["transfer", "--nonsense"], ["no such option"]),
    ],
)
def test_in_a_process_of_its_own(photos: Path, arguments: list[str], words: list[str]) -> None:
    assert_refused(naturalize(*arguments, cwd=photos.parent), *words)
    assert not Path("run").exists()


# a run that was damaged ----------------------------------------------------------------------------------------------


def replaced(name: str, pattern: str, text: str) -> Callable[[Path], None]:
    """Changes a file of a run."""

    def change(run: Path) -> None:
        paths = list(run.glob(name))
        assert paths
        for path in paths:
            changed, number = re.subn(pattern, text, path.read_text(encoding="utf-8"), count=1)
            assert number
            path.write_text(changed, encoding="utf-8")

    return change


def written(name: str, content: bytes) -> Callable[[Path], None]:
    """Overwrites a file of a run."""
    return lambda run: (run / name).write_bytes(content) and None


def flipped(pattern: str) -> Callable[[Path], None]:
    """Flips one bit in the middle of the files of a run that match a pattern (X11)."""

    def change(run: Path) -> None:
        paths = list(run.glob(pattern))
        assert paths
        for path in paths:
            content = bytearray(path.read_bytes())
            content[2 * len(content) // 3] ^= 16
            path.write_bytes(content)

    return change


def cut(pattern: str) -> Callable[[Path], None]:
    """Halves the files of a run that match a pattern."""

    def change(run: Path) -> None:
        paths = list(run.glob(pattern))
        assert paths
        for path in paths:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


@pytest.mark.parametrize(
    ("damage", "command", "words"),
    [
        (replaced("run.toml", "format = 1", "format = 99"), "resume run", ["newer naturalize", "99"]),
        (replaced("run.toml", "format = 1", "format = 99"), "export run --to m.onnx", ["newer naturalize"]),
        (replaced("run.toml", "format = 1", "format = 'x'"), "resume run", ["run.toml is damaged"]),
        (written("run.toml", b"\xff\xfe\x00"), "resume run", ["run.toml is damaged"]),
        (written("run.toml", b""), "finish run", ["run.toml is damaged"]),
        (cut("run.toml"), "export run --to m.onnx", ["run.toml is damaged"]),
        (replaced("run.toml", "seed = 0", "sed = 0"), "resume run", ["run.toml is damaged", "has changed"]),
        (replaced("front.json", '"format": 1', '"format": 99'), "front run", ["newer naturalize", "99"]),
        (replaced("front.json", '"format": 1', '"format": 99'), "predict run photos", ["newer naturalize"]),
        (replaced("front.json", r'"val_error": \d', '"val_error": 9'), "front run", ["front.json is damaged"]),
        (replaced("networks/*.json", r'"resolution": \d', '"resolution": 9'), "predict run photos", ["damaged one"]),
        (written("front.json", b"{}"), "front run", ["front.json is damaged", "naturalize finish run"]),
        (written("front.json", b"[1]"), "front run", ["front.json is damaged"]),
        (cut("front.json"), "report run", ["front.json is damaged"]),
        (cut("front.json"), "export run --to m.onnx", ["front.json is damaged"]),
        (replaced("front.json", r'"networks": \[', '"netwerks": ['), "front run --json", ["front.json is damaged"]),
        (cut("pixels.safetensors"), "export run --to m.onnx", ["pixels.safetensors is missing or damaged"]),
        (cut("networks/*.safetensors"), "export run --to m.onnx", ["safetensors"]),
        (cut("networks/*.safetensors"), "predict run photos", ["safetensors"]),
        (cut("networks/*.json"), "predict run photos", [".json"]),
        (flipped("networks/*.safetensors"), "predict run photos", ["safetensors", "damaged"]),
        (flipped("networks/*.safetensors"), "export run --to m.onnx", ["safetensors", "damaged"]),
        (flipped("pixels.safetensors"), "export run --to m.onnx", ["pixels.safetensors is missing or damaged"]),
        (
            flipped("supernet/*/weights.safetensors"),
            "resume run --iterations 2 --data photos",
            ["checkpoint", "damaged"],
        ),
        (
            flipped("supernet/*/trainer.safetensors"),
            "resume run --iterations 2 --data photos",
            ["checkpoint", "damaged"],
        ),
        (cut("supernet/*/weights.safetensors"), "resume run --iterations 2 --data photos", ["checkpoint", "damaged"]),
        (cut("supernet/*/state.json"), "resume run --iterations 2 --data photos", ["checkpoint", "damaged"]),
        (written("supernet/latest", b"0099"), "resume run --iterations 2 --data photos", ["latest is damaged", "0099"]),
        (written("archive.sqlite", b"x" * 9000), "resume run --data photos", ["archive.sqlite"]),
        (written("archive.sqlite", b""), "resume run --data photos", ["archive.sqlite is gone or empty: put it back"]),
        (written("archive.sqlite", b"x" * 9000), "finish run --data photos", ["archive.sqlite"]),
    ],
)
def test_a_damaged_or_newer_run(
    finished: Finished,
    tmp_path: Path,
    quick: Quick,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    command: str,
    words: list[str],
) -> None:
    run = finished.copy(tmp_path / "run")
    (tmp_path / "photos").symlink_to(finished.photos)
    monkeypatch.chdir(tmp_path)
    damage(run)
    front = (run / "front.json").read_bytes()
    assert_refused(quick(*command.split()), *words)
    assert (run / "front.json").read_bytes() == front
    assert not Path("m.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume", "--objective", "params"], ["--objective", "only --budget, --iterations and --data may change"]),
        (["resume", "--seed", "3"], ["--seed", "only --budget"]),
        (["resume", "--budget", "2m"], ["runs by iterations"]),
        (["resume", "--iterations", "0"], ["--iterations 0", "1 or more"]),
        (["resume", "--data", "nowhere"], ["nowhere"]),
        (["resume", "--data", "others", "--iterations", "2"], ["not those that", "began with"]),
        (["export", "--to", "m.onnx", "--format", "onxn"], ["unknown export format 'onxn'", "onnx"]),
        (
            ["export", "--to", "m.onnx", "--architecture", "1" * 13, "--require", "madds<1"],  # N18
            ["by its architecture or by what it requires, not by both"],
        ),
        (
            ["finetune", "--architecture", "1" * 13, "--require", "madds<1"],
            ["by its architecture or by what it requires, not by both"],
        ),
        (["export", "--to", "m.txt"], [".onnx (onnx)", ".pt (torch)"]),
        (["export", "--to", "m.pt", "--format", "onnx"], [".onnx"]),
        (["export", "--to", "m.onnx", "--opset", "12"], ["12", "13 to 17"]),
        (["export", "--to", "m.onnx", "--opset", "99"], ["99", "13 to 17"]),
        (["export", "--to", "m.pt", "--opset", "13"], ["opset"]),
        (["export", "--to", "there.onnx"], ["there.onnx is there already"]),
        (["export", "--to", "others"], ["others"]),
        (["export", "--to", "there.onnx/m.onnx"], ["there.onnx is no directory"]),
        (["export", "--to", "/proc/nobody/m.onnx"], ["/proc/nobody"]),
        (["export", "--to", "m.onnx", "--require", "madds<1"], ["no network of the front meets madds<1", "nearest is"]),
        (["export", "--to", "m.onnx", "--require", "nonsense"], ["'nonsense'", "madds<5M"]),
        (["export", "--to", "m.onnx", "--architecture", "7x9"], ["7x9"]),
        (["export", "--to", "m.onnx", "--architecture", "1" * 22], ["1" * 22]),
        (["export", "--to", "m.onnx", "--architecture", "0" * 14], ["0" * 14]),
        (["predict", "nowhere"], ["nowhere: no such file or folder"]),
        (["predict", "others/empty"], ["holds no pictures"]),
        (["predict", "others", "--require", "madds<1"], ["nearest is"]),
        (["predict", "others", "--threshold", "1.5"], ["--threshold 1.5", "from 0 to 1"]),
        (["predict", "others", "--threshold", "nan"], ["--threshold nan", "from 0 to 1"]),
        (["predict", "others", "--threshold=-0.1"], ["--threshold -0.1", "from 0 to 1"]),
        (["predict", "others", "--threshold", "half"], ["--threshold", "valid number"]),
        (["front", "--sort", "balanced-error"], ["this run knows no balanced-error", "`-o balanced-error`"]),
        (["front", "--require", "balanced-error<5"], ["balanced-error is measured"]),
        (["front", "--at", "balanced-error=5"], ["balanced-error is no cost"]),
    ],
)
def test_what_a_finished_run_refuses(
    finished: Finished,
    tmp_path: Path,
    picture_maker: Maker,
    quick: Quick,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    picture_maker(tmp_path / "others", 8, "cow", "owl", size=(16, 12))
    Path("others/empty").mkdir()
    Path("there.onnx").write_bytes(b"mine")
    before, run = content_of(tmp_path), content_of(finished.directory)
    assert_refused(quick(arguments[0], finished.directory, *arguments[1:]), *words)
    assert content_of(tmp_path) == before
    assert content_of(finished.directory) == run


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x08\x12\x04none"])
def test_a_file_that_is_no_model(photos: Path, quick: Quick, content: bytes) -> None:
    Path("m.onnx").write_bytes(content)
    assert_refused(quick("predict", "m.onnx", "photos"), "m.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "7"], ["seed (0 there, 7 here)", "naturalize resume"]),
        (["-o", "error", "-o", "params"], ["objectives"]),
        (["--iterations", "3"], ["iterations (1 there, 3 here)"]),
        (["--supernet", "ofa-mbv3", "--scratch"], ["supernet (mini there, ofa-mbv3 here)"]),
        (["--require", "madds<5M"], ["madds<5M"]),
    ],
)
def test_R15_another_command_on_the_run_is_refused_naming_what_differs(
    finished: Finished, quick: Quick, monkeypatch: pytest.MonkeyPatch, options: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(finished.directory.parents[1])
    before = content_of(finished.directory)
    assert_refused(quick("transfer", *finished.arguments, *options), *words)
    assert content_of(finished.directory) == before


def test_R15_other_data_are_refused(
    finished: Finished, quick: Quick, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture_maker: Maker
) -> None:
    monkeypatch.chdir(finished.directory.parents[1])
    others = picture_maker(tmp_path / "others", 8, "cat", "dog", size=(16, 12))
    before = content_of(finished.directory)
    assert_refused(quick("transfer", others, *finished.arguments[1:]), "the data are not those that")
    assert content_of(finished.directory) == before
