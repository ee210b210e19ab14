"""Collecting from an exchange that learners can write into."""

import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

if sys.platform == "win32":
    pytest.skip("nbgrader has no exchange on Windows", allow_module_level=True)

import pwd

from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from nbgrader.utils import parse_utc
from traitlets.config import Config

from course_lib.grading.nbgrader.collect import Collect
from course_lib.release import nbgrader_config

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def inbound(tmp_path):
    folder = tmp_path / "exchange" / "transformers" / "inbound"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def collect(tmp_path, inbound, course_folder):
    def collect(**options):
        config = Config(nbgrader_config(course_folder))
        config.CourseDirectory.root = str(course_folder)
        config.CourseDirectory.assignment_id = "small"
        config.Exchange.root = str(tmp_path / "exchange")
        config.Collect.update(options)
        directory = CourseDirectory(config=config)
        factory = ExchangeFactory(config=config)
        plugin = factory.Collect(coursedir=directory, config=config)
        assert isinstance(plugin, Collect), "the configuration names it"
        plugin.start()
        submitted = course_folder / "submitted"
        return {p.name: p / "small" for p in submitted.glob("*")} if submitted.exists() else {}

    return collect


def hand_in(inbound, student, when=None, tail="x"):
    when = when or datetime.now(UTC)
    folder = inbound / f"{student}+small+{when:%Y-%m-%d %H:%M:%S.%f} UTC+{tail}"
    folder.mkdir()
    (folder / "small.ipynb").write_text("{}")
    (folder / "timestamp.txt").write_text("2001-01-01 00:00:00.000000 UTC")
    return folder


def test_ones_own_newest_folder_is_taken(inbound, collect):
    now = datetime.now(UTC)
    hand_in(inbound, ME, now - timedelta(seconds=60))
    newest = hand_in(inbound, ME, now)
    (newest / "small.ipynb").write_text("newest")
    (collected,) = collect().values()
    assert (collected / "small.ipynb").read_text() == "newest"
    assert collect().keys() == {ME}


def test_nobody_hands_in_for_another(inbound, collect):
    hand_in(inbound, "ada")
    assert collect() == {}
    assert set(collect(check_owner=False)) == {"ada"}


def test_links_are_not_followed(inbound, collect, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (hand_in(inbound, ME) / "data.csv").symlink_to(tmp_path / "secret")
    assert collect() == {}
    inbound.joinpath(f"{ME}+small+2026-01-01 00:00:00 UTC").symlink_to(tmp_path)
    assert collect() == {}


def test_a_folder_in_the_place_of_the_time_stops_nobody(inbound, collect):
    folder = hand_in(inbound, ME)
    (folder / "timestamp.txt").unlink()
    (folder / "timestamp.txt" / "deep").mkdir(parents=True)
    (collected,) = collect().values()
    assert parse_utc((collected / "timestamp.txt").read_text())


def test_a_time_that_is_not_true_does_not_count(inbound, collect):
    hand_in(inbound, ME, datetime.now(UTC) - timedelta(days=7))
    (collected,) = collect().values()
    text = (collected / "timestamp.txt").read_text()
    assert abs(parse_utc(text) - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "name", ["+small+x", "a b+small+x", "ada+small", "-rf+small+x", "ada+small+"]
)
def test_odd_names_stop_nobody(inbound, collect, name):
    (inbound / name).mkdir()
    hand_in(inbound, ME)
    collected = collect(check_owner=False)
    assert ME in collected
    assert set(collected) <= {ME, "ada", "a b"}
