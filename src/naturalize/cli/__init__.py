"""The command line: parse, call `naturalize.api`, print. torch is imported only where a command needs it."""

from __future__ import annotations

import time

STARTED = time.monotonic()

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Annotated, Any  # noqa: E402

import typer  # noqa: E402

from naturalize.cli.memory import keep_memory  # noqa: E402
from naturalize.cli.study import study_app  # noqa: E402
from naturalize.errors import Interrupted, UserError, command, unknown, word  # noqa: E402
from naturalize.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from naturalize.joint.run import JointRun
    from naturalize.run import Run

SIGNALS = (signal.SIGINT, signal.SIGTERM)

app = typer.Typer(
    name="naturalize",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # click's class, of the click that this typer uses

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders, image-parquet or CSV file, `digits`, `clothing`, a name of "
        "`naturalize datasets`, or Hub name: see docs/data.md.",
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Budget = Annotated[
    str | None, typer.Option(metavar="TIME", help="Wall clock from start to finished report, as 90s, 20m or 1h30m.")
]
Iterations = Annotated[
    int | None, typer.Option(metavar="N", help="In place of a budget; repeatable to the bit on one machine's CPU.")
]
DataNow = Annotated[
    str | None, typer.Option("--data", metavar="DATA", help="Where the images are now, if they were moved.")
]
MovedData = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="DATA", help="Where the images are now, if they were moved; of several data sets NAME=DATA."
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(metavar="LIMIT", help="Limit on a cost, as 'madds<5M' or '2M<madds<5M'. May be repeated."),
]
Knee = Annotated[
    bool, typer.Option("--knee", help="The one below the line through the ends of the front, by the farthest.")
]
At = Annotated[str | None, typer.Option(metavar="COST", help="The one nearest to a cost, as madds=20M or size=2MB.")]
Supernet = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Name (mini, efficientnet-lite0, ofa-mbv3, ofa-mbv3-w1.0, ofa-mbv3-w1.2, ofa-proxyless-w1.3, "
        "ofa-resnet50, ofa-d4-e6-k7), file of Once-for-All weights, or directory of a run; chosen by the pictures "
        "unless told.",
    ),
]
Scratch = Annotated[bool, typer.Option("--scratch", help="Start from nothing although there are published weights.")]
Classes = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Class names in the order wanted, with commas between.")
]
Ignore = Annotated[
    list[int] | None,
    typer.Option(metavar="VALUE", help="Value of masks that stands for no class, besides 255. May be repeated."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of every random draw.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")]


def main() -> None:
    """The entry point of the command `naturalize`. Errors that a user can mend give one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # letters that the terminal's encoding lacks are escaped
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in SIGNALS:  # also while torch is imported, and between a run's own handling and the end
        signal.signal(number, lambda signum, frame: fail("stopped", 128 + signum))
    keep_memory()
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":  # torchrun starts several of us
        print("naturalize: one process does the whole work, this one has nothing to do", file=sys.stderr)
        return
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="naturalize", standalone_mode=False)
        if code:
            fail("stopped", code)
    except UserError as error:
        fail(str(error), error.exit_code)
    except UsageError as error:
        fail(usage(error), 2)
    except Interrupted as stop:
        again = "the same command" if sys.argv[1:2] in (["study"], ["finetune"]) else "`naturalize resume`"
        left = f"the state is saved: go on with {again}"
        if sys.argv[1:2] == ["latency"] or "--dry-run" in sys.argv:
            left = "nothing was written: give the same command again"
        fail(f"stopped by signal {stop.signum}; {left}", stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    except MemoryError as error:
        told = str(error) or "nothing is left"
        fail(f"memory ran out ({told}): close other programs, or give fewer or smaller pictures", 2)
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}", 2)


def usage(error: Any) -> str:
    """The message of an error in the options of a command, with the command whose help explains them."""
    command = error.ctx.command_path if error.ctx is not None else "naturalize"
    message = str(error.format_message()).strip().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}: see `{command} --help`"


def fail(message: str, code: int) -> None:
    """Print one line and leave with an exit code; signals are ignored from now on, so that neither changes."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    print("naturalize: " + " ".join(line.strip() for line in message.splitlines()), file=sys.stderr, flush=True)
    raise SystemExit(code)


def version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        print(f"naturalize {__version__}")
        raise typer.Exit


@app.callback()
def options(
    asked: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Adapt a weight-sharing supernet, architecture and weights together, to your own images.

    \b
    Start here:
      naturalize check photos/
      naturalize transfer photos/ --budget 20m --out runs/photos
      naturalize export runs/photos --require "madds<5M" --to model.onnx
    """


@app.command(short_help="Adapt a supernet to your images: a front of networks to deploy.")
def transfer(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Folder of class folders, image-parquet or CSV file, `digits`, `clothing`, a name of "
            "`naturalize datasets`, or Hub name: see docs/data.md. Several, as NAME=DATA, are searched together.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of the run; runs/NAME unless told.")
    ] = None,
    budget: Budget = None,
    iterations: Iterations = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Of adaptation per iteration, with --iterations.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="nat or nat-imagenet, the paper's: values for options that are not given."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            "-o",
            metavar="NAME",
            help="One to three of error, madds, params, activations, size, size:int8, error:int8, "
            "balanced-error, latency:cpu, latency:TABLE, latency:command=PROGRAM, energy:command=PROGRAM; error and "
            "madds unless told.",
        ),
    ] = None,
    require: Require = None,
    supernet: Supernet = None,
    scratch: Scratch = False,
    archive: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Run whose architectures are the first to be measured.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="`nat`, the paper's, by NSGA-III, or `auto`, in small batches by gain; nat unless told.",
        ),
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of errors: gaussian-process, auto, rbf-ensemble (the paper's), rbf, mlp or cart; gaussian-process "
            "unless told.",
        ),
    ] = None,
    classes: Classes = None,
    seed: Seed = 0,
    strict: Strict = False,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Weigh classes in training: rare ones count as much as common ones.")
    ] = False,
    ignore: Ignore = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what it would take here; leave nothing behind.")
    ] = False,
) -> None:
    """Search architectures and adapt weights to your images; gives a front of networks that are ready to deploy.

    \b
    Examples:
      naturalize transfer photos/ --budget 20m --out runs/photos
      naturalize transfer digits --budget 3m --out runs/digits
      naturalize transfer cifar10-train.parquet --require "madds<5M" -o error -o madds -o params
      naturalize transfer photos/ --supernet runs/others --archive runs/others --budget 10m
      naturalize transfer photos/ --iterations 3 --epochs 5 --seed 1
      naturalize transfer flowers102 --recipe nat
      naturalize transfer photos/ --budget 1h --dry-run
      naturalize transfer pets=photos/ birds=birds.parquet -o error@pets -o error@birds -o madds --budget 1h

    The same command on an existing run goes on where it was.
    """
    from naturalize.terminal import Terminal

    several, name = len(data) > 1, Path(data[0]).stem or "run"
    if several:
        from naturalize.joint.asked import named_sets

        sets = named_sets(data)
        name = "-".join(sets)[:80]
    out = out or Path("runs") / name
    with Terminal() as terminal:
        from naturalize import api

        options: dict[str, Any] = {
            "budget": budget, "iterations": iterations, "epochs": epochs, "recipe": recipe, "objectives": objective,
            "require": require or (), "supernet": supernet, "scratch": scratch, "search": search,
            "predictor": predictor, "archive": archive, "classes": split_names(classes), "seed": seed,
            "strict": strict, "balanced": balanced, "ignore": ignore or (), "listeners": [terminal], "started": STARTED,
        }  # fmt: skip
        if dry_run:
            lines = api.joint_dry_run(sets, out, **options) if several else api.dry_run(data[0], out, **options)
        else:
            run = api.joint_transfer(sets, out, **options) if several else api.transfer(data[0], out, **options)
    if dry_run:
        print("\n".join(lines))
    else:
        show(run)


@app.command(
    short_help="Go on with a run after a stop of any kind, or with more budget.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def resume(
    context: typer.Context,
    run: RunPath,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="New total budget, as 40m.")] = None,
    iterations: Annotated[int | None, typer.Option(metavar="N", help="New total of iterations.")] = None,
    data: MovedData = None,
) -> None:
    """Go on with a run after a stop of any kind; with a larger total also with a finished one.

    \b
    Examples:
      naturalize resume runs/photos
      naturalize resume runs/photos --budget 40m
      naturalize resume runs/photos --data /mnt/photos
    """
    from naturalize.terminal import Terminal

    if context.args:
        raise UserError(
            f"resume cannot change {context.args[0]}: only --budget, --iterations and --data may change; "
            "start a new run with another --out for the rest"
        )
    with Terminal() as terminal:
        from naturalize import api

        found = api.resume(
            run, data=moved(run, data), budget=budget, iterations=iterations, listeners=[terminal], started=STARTED
        )
    show(found)


@app.command(short_help="End a stopped run as it is: test its front, write its networks.")
def finish(run: RunPath, data: MovedData = None) -> None:
    """End a stopped run as it is: measure its front on the test split and write networks and report.

    \b
    Example:
      naturalize finish runs/photos
    """
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        from naturalize import api

        found = api.finish(run, data=moved(run, data), listeners=[terminal])
    show(found)


@app.command(short_help="Print the networks of a run.")
def front(
    run: RunPath,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="In order of a cost, resolution, val_error, test_error, val_balanced_error or test_balanced_error.",
        ),
    ] = None,
    require: Require = None,
    knee: Knee = False,
    at: At = None,
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="table, json or csv.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """The networks of a run: resolution, counts, validation and test error.

    \b
    Examples:
      naturalize front runs/photos
      naturalize front runs/photos --require "size<2MB" --sort test_error
      naturalize front runs/photos --knee
      naturalize front runs/photos --format csv > front.csv
    """
    from naturalize.joint.run import is_joint, whole_run
    from naturalize.objectives.requirement import parse_requirement
    from naturalize.run import networks_of, read_front
    from naturalize.run.choosing import Choice, choose, meeting, ordered
    from naturalize.terminal import front_csv, front_json, front_table

    if as_json and form != "table":
        raise UserError("--json is --format json: leave one of them out")
    form = "json" if as_json else form
    if form not in ("table", "json", "csv"):
        raise unknown("format", form, ("table", "json", "csv"))
    if is_joint(run):
        if sort or require or knee or form == "csv":
            raise UserError("of a joint run, `front` takes --at and --format json alone: its data sets' runs take all")
        print_jointly(run, at, form == "json")
        return
    found = read_front(run)
    rule = Choice([parse_requirement(text) for text in require or ()], knee, at)
    networks = meeting(networks_of(found), rule.require)
    if sort is not None:
        networks = ordered(networks, sort)
    why = ""
    if knee or at is not None:
        one, why = choose(networks, rule, found["objectives"])
        networks = [one]
    if form != "table":
        print("\n".join(front_json(networks, found) if form == "json" else front_csv(networks)))
        return
    print("\n".join(front_table(networks, found["objectives"], found.get("metric"))))
    if why:
        print(f"{networks[0].architecture}, {why}")
    if found["state"] == "stopped":
        go_on, end = command("resume", whole_run(run)), command("finish", whole_run(run))
        print(f"stopped: no test error yet; go on with `{go_on}` or end it with `{end}`")


@app.command(short_help="Write one network as a file for another program.")
def export(
    run: RunPath,
    to: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="onnx, onnx-int8, torch, torch-export, openvino, openvino-int8, ncnn, executorch, litert or coreml; "
            "by the file's suffix unless told.",
        ),
    ] = None,
    require: Require = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="STRING", help="A network of the front by its string.")
    ] = None,
    knee: Knee = False,
    at: At = None,
    opset: Annotated[int | None, typer.Option(metavar="N", help="ONNX operator set, 13 to 17; 13 unless told.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write one network as a file that needs nothing of naturalize; it is re-run and checked before it gets its name.

    \b
    Examples:
      naturalize export runs/photos --to model.onnx
      naturalize export runs/photos --require "madds<5M" --format onnx --to model.onnx
      naturalize export runs/photos --knee --format onnx-int8 --to model.onnx
      naturalize export runs/photos --architecture 10656256455426 --to model.pt
      naturalize export runs/photos --at madds=20M --format openvino-int8 --to model.xml
    """
    from naturalize import api
    from naturalize.exporting import MARGIN

    done = api.export(
        run, to, format=file_format, require=require or (), architecture=architecture, knee=knee, at=at, opset=opset,
        overwrite=overwrite,
    )  # fmt: skip
    if done.chosen:
        print(f"chose {done.chosen}")
    print(f"wrote {done.path} ({done.bytes / 1e6:.2f} MB; needs {done.needs})")
    for path in done.files[1:]:
        print(f"wrote {path}")
    if done.not_run:
        print(f"not run, so not checked: {done.not_run}")
    else:
        print(f"checked on {done.images} images of the run: largest difference of a logit {done.max_difference:.1e}")
    if done.agreement is not None and done.agreement < 100.0:
        print(
            f"{done.agreement:.0f}% of its answers are the network's, and its error is {done.error:.1f}% "
            f"(the network: {done.network_error:.1f}%)"
        )
    if done.loses_much:
        print(
            f"that is more than {MARGIN:g} point: networks with relu6, as efficientnet-lite0's, lose less, so may "
            "another int8 format, `finetune` before the export may make up for it, and float loses none"
        )


@app.command(short_help="Write networks that tell the latency of another device.")
def latency(
    run: Annotated[Path, typer.Option("--for", metavar="RUN", help="Run whose supernet they are of.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write; it is new, or empty.")],
) -> None:
    """Write small networks, and a script and a page that run them on another device and give back a table.

    \b
    Examples:
      naturalize latency --for runs/photos --to phone
      python phone/serve.py                  # open the address that it prints on the phone
      python phone/measure.py                # or, on a board: onnxruntime and NumPy
      naturalize transfer photos/ -o error -o latency:phone/table-1.json --out runs/phone
    """
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        from naturalize import api

        done = api.latency_models(run, to, listeners=[terminal])
    print(f"wrote {done.networks} networks to {done.path} ({done.bytes / 1e6:.1f} MB)")
    print(f"on a computer or a board with onnxruntime: python {word(done.path / 'measure.py')}")
    if done.without_page:
        print(f"it has no page for phones: {done.without_page}")
    else:
        serve = word(done.path / "serve.py")
        print(f"on a phone in the same network: python {serve}, and open the address that it prints")
    table = word(f"latency:{done.path / 'table.json'}")
    print(f"then minimise the table: naturalize transfer ... -o error -o {table}")


@app.command(short_help="Classify pictures.")
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported .onnx file, or the directory of a run.")],
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES", help="Picture files and folders.")],
    require: Require = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Least probability of an answer, 0 to 1; below it, `none of these`. 0.5 where pictures have several "
            "labels.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="For masks: where they are written.")] = None,
) -> None:
    """Classify pictures: one row a file, with tabs between path, class and probability.

    Where pictures have several labels, class and probability are there for each label that reaches the threshold.

    Of a network that was trained on masks, each picture gets a mask of its size: a PNG of class values, which viewers
    show in colours, and the picture with these colours over it. Its row has the mask's path and each class's share.

    \b
    Examples:
      naturalize predict model.onnx holiday/
      naturalize predict model.onnx holiday/ --threshold 0.5
      naturalize predict runs/photos a.jpg b.png --require "madds<1M"
      naturalize predict runs/streets drive/ --to masks
    """
    from naturalize.data.parts import left_out
    from naturalize.predicting import check_to, open_model, predict_with, told_of, write_mask

    failed, others, opened = 0, list[str](), open_model(model, require or ())
    check_to(opened, to)
    for row in predict_with(opened, pictures, others.append, threshold):
        if row.error is not None:
            failed += 1
            print(f"{row.path}\terror\t{row.error}")
        elif row.mask is not None and to is not None:
            print(f"{row.path}\t{write_mask(opened, row, to)}")
        else:
            print(row.line)
    if threshold and (told := told_of(opened, threshold)):
        print(told, file=sys.stderr)
    if others:
        print(left_out(others, "file", "passed over, no picture by its name"), file=sys.stderr)
    if failed:
        why = "its row says" if failed == 1 else "their rows say"
        raise UserError(f"{failed} of the pictures could not be read: {why} why")


@app.command(short_help="Say what is understood of your data; trains nothing.")
def check(data: Data, classes: Classes = None, seed: Seed = 0, strict: Strict = False, ignore: Ignore = None) -> None:
    """What naturalize understands of your data, and what it would choose; nothing is trained or written.

    \b
    Examples:
      naturalize check photos/
      naturalize check cifar10-train.parquet
      naturalize check flowers102
    """
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        from naturalize import api

        lines = api.check(
            data, classes=split_names(classes), seed=seed, strict=strict, ignore=ignore or (), listeners=[terminal]
        )
    for line in lines:
        print(line)


@app.command(short_help="List the data sets that have a name.")
def datasets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them, to be told all of it.")] = None,
) -> None:
    """The data sets that `check` and `transfer` take by name, from the Hugging Face Hub or its download cache.

    Pictures by split (val and test are as published, or cut from train), classes, the accuracy that the field reports
    on them, licence.

    \b
    Examples:
      naturalize datasets
      naturalize datasets flowers102
      naturalize transfer flowers102 --budget 1h
    """
    from naturalize.terminal import dataset_lines, datasets_table

    print("\n".join(datasets_table() if name is None else dataset_lines(name)))


@app.command(short_help="Train chosen networks of a finished run on.")
def finetune(
    run: RunPath,
    require: Require = None,
    architecture: Annotated[
        list[str] | None, typer.Option(metavar="STRING", help="A network by its string. May be repeated.")
    ] = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Wall clock in all, as 90s, 20m or 1h30m.")] = "5m",
    data: DataNow = None,
) -> None:
    """Train networks of a finished run on, each by itself.

    A network is replaced by one that is better on validation; one that learnt from it too, as under a budget, always.

    \b
    Examples:
      naturalize finetune runs/photos --require "madds<5M" --budget 5m
      naturalize finetune runs/photos --architecture 00100010001000 --architecture 30100066006600
    """
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        from naturalize import api

        found = api.finetune(
            run, require=require or (), architectures=architecture or (), budget=budget, data=data,
            listeners=[terminal], started=STARTED,
        )  # fmt: skip
    show(found)


@app.command(short_help="Train a supernet for later transfers to start from.")
def prepare(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the supernet.")],
    supernet: Supernet = None,
    scratch: Scratch = False,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="sandwich, or shrink for progressive shrinking in phases.")
    ] = "sandwich",
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Learn from it too: a supernet's name, a run, a .safetensors."),
    ] = None,
    budget: Budget = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="In place of a budget; repeatable to the bit on one machine's CPU.")
    ] = None,
    seed: Seed = 0,
    ignore: Ignore = None,
) -> None:
    """Train a supernet, for later transfers to start from.

    With a teacher, pictures need no classes: those loose in a folder are answered by it.

    \b
    Examples:
      naturalize prepare cifar100-train.parquet --supernet mini --budget 2h --out supernets/mini
      naturalize transfer photos/ --supernet supernets/mini --budget 20m
      naturalize prepare loose/ --supernet efficientnet-lite0 --teacher efficientnet-lite0 --out supernets/lite0
    """
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        from naturalize import api

        run = api.prepare(
            data, out, supernet=supernet, scratch=scratch, method=method, teacher=teacher, budget=budget, epochs=epochs,
            seed=seed, ignore=ignore or (), listeners=[terminal], started=STARTED,
        )  # fmt: skip
    show(run)


@app.command(short_help="Write the HTML page of a run anew, or one that compares runs.")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directory of a run; of several to compare.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="COST", help="Compare the runs' networks nearest to a cost, as madds=20M or size=2MB."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="While the run goes on, write the page anew as more is measured.")
    ] = False,
) -> None:
    """Write report.html anew: one page with the front, its networks, what they get wrong and how they were found.

    With several runs of one supernet and --at, write comparison.html: structures side by side, their distances, and
    what the network of one loses on the pictures of another.

    \b
    Examples:
      naturalize report runs/photos
      naturalize report runs/photos --watch
      naturalize report runs/photos runs/birds --at madds=20M

    With --watch, a run of several data sets has a page of each, in the directory of its name, and its own at the end.
    """
    from naturalize.joint.run import is_joint

    if len(runs) > 1 and watch:
        raise UserError("--watch follows one run: give one")
    if watch and at is not None:
        raise UserError("--watch writes the page of a run that goes on, --at one of what is finished: leave one out")
    if len(runs) == 1 and is_joint(runs[0]) and not watch:
        from naturalize.joint.page import write_joint_report

        print(f"wrote {write_joint_report(runs[0], at)}")
        return
    if len(runs) > 1 and at is None:
        raise UserError("several runs are compared at a cost: add --at, as --at madds=20M")
    if len(runs) == 1 and at is not None:
        raise UserError("--at compares several runs: give two directories or more, or leave it out")
    if at is not None:
        from naturalize.report.compare import write_comparison
        from naturalize.run import Watch
        from naturalize.terminal import Terminal

        with Terminal() as terminal:
            progress = Watch([terminal], STARTED).progress
            path = write_comparison(runs, at, progress)
        print(f"wrote {path}")
    elif watch:
        print(f"wrote {watched_report(runs[0])}")
    else:
        from naturalize.report.live import report_once

        print(f"wrote {report_once(runs[0])}")


app.add_typer(study_app, name="study")


def watched_report(directory: Path) -> Path:
    """Write the page of a run until it ends; a signal ends that, and leaves the run alone."""
    from naturalize.joint.live import watch_joint_report
    from naturalize.joint.run import is_joint
    from naturalize.report.live import watch_report
    from naturalize.run import Run, Watch

    if is_joint(directory):
        write = watch_joint_report
    else:
        Run(directory)  # raises where there is none
        write = watch_report
    watch = Watch([], STARTED)
    try:
        with watch.stoppable():
            return write(directory, watch.check, lambda line: print(line, file=sys.stderr, flush=True))
    except Interrupted as stop:
        raise typer.Exit(stop.exit_code) from stop


def show(run: Run | JointRun) -> None:
    """Print the front of a run as a table and the path of its report; for a preparation, how to use its supernet."""
    from naturalize.joint.run import JointRun
    from naturalize.objectives import COST, objective_of
    from naturalize.run import networks_of, read_front
    from naturalize.terminal import front_table

    if isinstance(run, JointRun):
        show_jointly(run)
        return
    if run.settings.goal == "prepare":
        print(f"supernet in {run.directory}: start a transfer from it with --supernet {run.directory}")
        return
    found = read_front(run.directory)
    cost = next((name for name in found["objectives"] if objective_of(name).kind != "measured"), COST)
    print("\n".join(front_table(networks_of(found), found["objectives"], found.get("metric"))))
    print(f"report: {run.directory / 'report.html'}")
    print(f'export one: {command("export", run.directory)} --require "{cost}<..." --to model.onnx')


def print_jointly(directory: Path, at: str | None, as_json: bool) -> None:
    """Print the networks of a joint run and its trade-off network, which alone is printed where it is asked for."""
    import json

    from naturalize.joint.front import read_joint_front
    from naturalize.joint.table import joint_table, trade_off_of

    front = read_joint_front(directory)
    found, why = trade_off_of(front, at)
    if as_json:
        one = front if at is None else {**front, "networks": [found]}
        print(json.dumps(one, indent=2))
    else:
        print("\n".join(joint_table(front, None if at is None else found)))
        print(f"{found['architecture']}, {why}")


def show_jointly(run: JointRun) -> None:
    """Print the front of a joint run as a table, the path of its report, and how its networks are used."""
    from naturalize.joint.table import joint_table, trade_off_of

    front = run.front()
    print("\n".join(joint_table(front)))
    found, why = trade_off_of(front, None)
    print(f"{found['architecture']}, {why}")
    print(f"report: {run.directory / 'report.html'}")
    one = command("export", run.directory / run.sets[0])
    print(f"export one: {one} --architecture {found['architecture']} --to model.onnx")


def moved(run: Path, data: list[str] | None) -> Any:
    """Where the data of a run are now: by name of a joint run, of which several may be given. Raises `UserError`."""
    from naturalize.joint.asked import named_sets
    from naturalize.joint.run import is_joint

    if is_joint(run):
        return named_sets(data or [])
    if data and len(data) > 1:
        raise UserError("--data is given twice, and the run has one data set")
    return data[0] if data else None


def split_names(text: str | None) -> list[str]:
    """The names in a text with commas between them. Raises `UserError` for an empty one."""
    names = [] if text is None else [name.strip() for name in text.split(",")]
    if not all(names):
        raise UserError(f"--classes {text!r} has an empty name: give names with commas between, as cat,dog")
    return names
