"""The archive: contexts, transactions, decisions, readers beside a writer."""

import sqlite3
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from naturalize import archive as archive_module
from naturalize.archive import Archive, Context, Measurement
from naturalize.errors import UserError
from naturalize.space import SearchSpace, Variable


@pytest.fixture
def space():
    return SearchSpace("two", [Variable("a", 0, 9), Variable("b", 0, 9)])


@pytest.fixture
def archive(tmp_path, space):
    opened = Archive(tmp_path / "archive.sqlite", space)
    yield opened
    opened.close()


def measured(arch, value, status="ok"):
    return Measurement(arch, value, 0.0, status, 0.1, {"images": 10})


def test_a_measurement_is_found_in_its_context_only(archive, space):
    arch = space.parse("12")
    archive.set_members(0, [(arch, "uniform")])
    archive.record(Context("error", "default", "val", 0), measured(arch, 5.0))
    archive.record(Context("error", "default", "val", 1), measured(arch, 3.0))
    assert archive.values([Context("error", "default", "val", 0)], [arch, space.parse("34")]).tolist()[0] == 5.0
    assert np.isnan(archive.values([Context("error", "default", "test", 0)], [arch]))[0]
    assert archive.measurements(Context("error", "default", "val", 1))[arch].detail == {"images": 10}


def test_mixing_contexts_raises(archive, space):
    with pytest.raises(ValueError, match="cannot be compared"):
        archive.values([Context("error", "default", "val", version) for version in (0, 1)], [space.parse("12")])


def test_a_value_that_is_not_finite_is_stored_as_failed(archive, space):
    context = Context("error", "default", "val", 0)
    archive.record(context, measured(space.parse("12"), float("nan")))
    archive.record(context, measured(space.parse("13"), None, "out of memory"))
    assert [m.status for m in archive.measurements(context).values()] == ["not finite", "out of memory"]
    assert np.isnan(archive.values([context], [space.parse("12")])).all()


def test_a_second_measurement_in_the_same_context_replaces_nothing(archive, space):
    context = Context("error", "default", "val", 0)
    for value in (5.0, 4.0):
        archive.record(context, measured(space.parse("12"), value))
    assert archive.values([context], [space.parse("12")]).tolist() == [5.0]


def test_members_keep_their_order_and_their_first_origin(archive, space):
    one, two = space.parse("12"), space.parse("34")
    archive.set_members(0, [(two, "corner"), (one, "uniform")])
    archive.set_members(1, [(one, "search"), (two, "search")])
    assert archive.members(0) == [two, one]
    assert archive.members(1) == [one, two]
    assert archive.members(2) == []


def test_decisions_are_made_once(archive):
    assert archive.decide("plan", lambda: {"iterations": 3}) == {"iterations": 3}
    assert archive.decide("plan", lambda: pytest.fail("made twice")) == {"iterations": 3}


def test_a_reader_sees_finished_measurements_while_a_writer_works(archive, space, tmp_path):
    archive.record(Context("error", "default", "val", 0), measured(space.parse("12"), 5.0))
    reader = Archive(tmp_path / "archive.sqlite", space, read_only=True)
    assert len(reader.measurements(Context("error", "default", "val", 0))) == 1
    archive.record(Context("error", "default", "val", 0), measured(space.parse("13"), 5.0))
    assert len(reader.measurements(Context("error", "default", "val", 0))) == 2
    with pytest.raises(UserError, match="cannot be written"):
        reader.used_s = 1.0


def test_R12_a_locked_archive_is_waited_for_then_named(tmp_path, space, monkeypatch):
    monkeypatch.setattr(archive_module, "WAIT_S", 0.3)
    archive = Archive(tmp_path / "archive.sqlite", space)
    other = sqlite3.connect(tmp_path / "archive.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="locked by another process"):
        archive.used_s = 1.0
    other.execute("ROLLBACK")
    archive.used_s = 2.0
    assert archive.used_s == 2.0


def test_R07_a_full_disk_is_named_and_nothing_recorded_is_lost(archive, space):
    context = Context("error", "default", "val", 0)
    (pages,) = archive._db.execute("PRAGMA page_count").fetchone()
    archive._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    recorded = 0

    def fill():
        nonlocal recorded
        for number in range(100):
            arch = space.parse(f"{number:02d}")
            archive.record(context, Measurement(arch, 1.0, 0.0, "ok", 0.1, {"text": "x" * 1000}))
            recorded += 1

    with pytest.raises(UserError, match=r"disk of .*archive\.sqlite is full or failing .*free some space, then resume"):
        fill()
    assert len(archive.measurements(context)) == recorded
    archive._db.execute("PRAGMA max_page_count = 100000")
    archive.record(context, measured(space.parse("99"), 5.0))
    assert len(archive.measurements(context)) == recorded + 1


def test_R12_network_drives_get_a_rollback_journal(tmp_path, monkeypatch):
    assert archive_module.journal_mode(tmp_path / "x") == "WAL"
    monkeypatch.setattr(archive_module, "on_network_drive", lambda path: True)
    assert archive_module.journal_mode(tmp_path / "x") == "TRUNCATE"


def test_R06_a_writer_killed_at_work_loses_nothing_that_was_recorded(tmp_path, space):
    script = """
        import os, sys
        from pathlib import Path
        from naturalize.archive import Archive, Context, Measurement
        from naturalize.space import SearchSpace, Variable
        space = SearchSpace("two", [Variable("a", 0, 9), Variable("b", 0, 9)])
        archive = Archive(Path(sys.argv[1]), space)
        for n in range(100):
            arch = space.parse(f"{n:02d}")
            archive.record(Context("error", "default", "val", 0), Measurement(arch, n, 0.0, "ok", 0.0, {}))
            print(n, flush=True)
    """
    path = tmp_path / "archive.sqlite"
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        said += [int(line) for line in process.stdout.read().split()]
    archive = Archive(path, space)
    kept = archive.measurements(Context("error", "default", "val", 0))
    assert {space.parse(f"{n:02d}") for n in said} <= set(kept)


def test_a_newer_archive_is_refused(tmp_path, space):
    Archive(tmp_path / "archive.sqlite", space).close()
    with sqlite3.connect(tmp_path / "archive.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="newer naturalize"):
        Archive(tmp_path / "archive.sqlite", space)


def test_a_file_that_is_no_archive_is_refused(tmp_path, space):
    (tmp_path / "archive.sqlite").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(UserError, match="cannot be opened"):
        Archive(tmp_path / "archive.sqlite", space)


def test_an_archive_that_has_only_just_been_made_is_named_as_such(tmp_path, space):
    sqlite3.connect(tmp_path / "archive.sqlite").close()
    with pytest.raises(UserError, match="nothing measured yet"):
        Archive(tmp_path / "archive.sqlite", space, read_only=True)


def filled(path, space):
    """An archive with rows in every table; everything that can be read from it."""
    archive = Archive(path, space)
    archs = [space.parse(f"{a}{b}") for a in range(10) for b in range(10)]
    archive.set_members(0, [(arch, "uniform") for arch in archs])
    for number, arch in enumerate(archs):
        archive.record(Context("error", "default", "val", 0), measured(arch, number / 7))
    archive.close_iteration(0, {"hypervolume": 0.5})
    archive.record_decision("plan", {"iterations": 3})
    archive.used_s = 12.5
    archive.close()


def content(path, space):
    archive = Archive(path, space, read_only=True)
    try:
        found = archive.measurements(Context("error", "default", "val", 0)), archive.members(0)
        return *found, archive.iterations(), archive.decision("plan"), archive.used_s
    finally:
        archive.close()


def test_X11_one_flipped_bit_is_noticed_or_changes_nothing(tmp_path, space):
    path = tmp_path / "archive.sqlite"
    filled(path, space)
    whole, right = path.read_bytes(), content(path, space)
    noticed = 0
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 300).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = content_or_message(path, space)
        if isinstance(found, str):
            assert str(path) in found
            noticed += 1
        else:
            assert found == right
    assert noticed > 30


def content_or_message(path, space):
    try:
        return content(path, space)
    except UserError as error:
        return str(error)


def test_X11_a_damaged_number_is_told_with_its_table(tmp_path, space):
    path = tmp_path / "archive.sqlite"
    filled(path, space)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE measurements SET value = 0.0 WHERE architecture = 7")
    with pytest.raises(UserError, match=r"is damaged: a row of its measurements has changed"):
        Archive(path, space)


def test_an_archive_of_before_there_were_checksums_gets_them(tmp_path, space):
    path = tmp_path / "archive.sqlite"
    filled(path, space)
    right = content(path, space)
    with sqlite3.connect(path) as db:
        for table in archive_module.TABLES:
            db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        db.execute("PRAGMA user_version = 1")
    assert content(path, space) == right
    archive = Archive(path, space)
    archive.record(Context("error", "default", "val", 1), measured(space.parse("12"), 5.0))
    archive.close()
    assert content(path, space) == right
    with sqlite3.connect(path) as db:
        db.execute("UPDATE clock SET used_s = 1.0")
    with pytest.raises(UserError, match="a row of its clock"):
        Archive(path, space, read_only=True)
