#!/bin/sh
# typer 0.29.2: its errors are not click's any more, although click is installed beside it and looks the same.
#
# A program that runs its app with standalone_mode=False and catches click.exceptions.UsageError or click.Abort, to say
# things its own way, catches nothing: typer carries a copy of click (typer._click), and raises that one's classes.
#
# Seen: "click's UsageError: False; its own: True".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet typer==0.29.2 click==8.5.1
"$work/venv/bin/python" - <<'PY'
import click
import typer

app = typer.Typer()


@app.command()
def greet(name: str) -> None:
    print(name)


try:
    app([], standalone_mode=False)
except Exception as error:
    theirs = isinstance(error, click.exceptions.UsageError)
    own = any(kind.__name__ == "UsageError" and kind.__module__.startswith("typer.") for kind in type(error).__mro__)
    print(f"{type(error).__module__}.{type(error).__name__}; click's UsageError: {theirs}; its own: {own}")
    assert not theirs
    assert own
else:
    raise SystemExit("no error for a missing argument")
PY
