"""`nbgrader collect` for an exchange that learners can write into.

nbgrader's own follows links, believes the time in a folder's name, and takes what one learner hands
in under another's name with a warning. Here links stay behind, the time is the one at which the
folder came to be, and a folder counts for its owner only.
"""

from __future__ import annotations

import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.exchange.default import ExchangeCollect
from nbgrader.utils import ignore_patterns
from traitlets import Integer

from course_lib.grading.intake import Refused, only_plain_files, sane_name

try:
    import pwd
except ImportError:  # Windows
    pwd = None  # type: ignore[assignment]


class Collect(ExchangeCollect):
    """Copies submissions from the exchange, plain files only."""

    believed_seconds = Integer(
        300, help="how far the time in a folder's name may be from the time it came to be"
    ).tag(config=True)

    def init_src(self) -> None:
        """Choose one folder a student: the newest, or the newest before the due date."""
        if not self.coursedir.course_id:
            self.fail("No course id specified. Re-run with --course flag.")
        self.inbound_path = os.path.join(self.root, self.coursedir.course_id, "inbound")
        if not os.path.isdir(self.inbound_path):
            self.fail(f"Course not found: {self.inbound_path}")
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                due = gradebook.find_assignment(self.coursedir.assignment_id).duedate
            except MissingEntry:
                due = None
        self.src_records = []
        of_student: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(Path(self.inbound_path).iterdir()):
            if record := self._record(path):
                of_student.setdefault(record["username"], []).append(record)
        for records in of_student.values():
            records.sort(key=lambda record: record["timestamp"], reverse=True)
            in_time = [r for r in records if due and r["timestamp"] <= due]
            self.src_records.append((in_time if self.before_duedate and in_time else records)[0])

    def _record(self, path: Path) -> dict[str, Any] | None:
        """What a folder in the exchange is, or None if it is not for us."""
        parts = path.name.split("+")
        wanted = self.coursedir.assignment_id
        if wanted not in parts[1:]:
            return None
        student = "+".join(parts[: parts.index(wanted, 1)])
        if self.coursedir.student_id not in ("", "*", student):
            return None
        try:
            sane_name(student)
            only_plain_files(path)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise Refused("it is no folder")
            if self.check_owner and pwd is not None:
                self._check_owner(student, found.st_uid)
        except Refused as refused:
            self.log.error("Left in the exchange: %r: %s", path.name, refused)
            return None
        return {"username": student, "filename": path.name, "timestamp": self._time(path, found)}

    def _check_owner(self, student: str, uid: int) -> None:
        try:
            owner = pwd.getpwuid(uid).pw_name
        except KeyError:
            owner = f"user {uid}"
        if owner != student:
            raise Refused(f"it belongs to {owner}, not to {student}")

    def _time(self, path: Path, found: os.stat_result) -> datetime:
        """When it was handed in, as nbgrader keeps times: UTC without saying so."""
        came = datetime.fromtimestamp(found.st_ctime, UTC).replace(tzinfo=None)
        try:
            said = self._path_to_record(str(path))["timestamp"]
        except Exception:  # noqa: BLE001 - a name can be anything
            return came
        apart = abs((came - said).total_seconds())
        if apart > self.believed_seconds:
            self.log.warning("%r came at %s; that counts, not its name", path.name, came)
            return came
        return said

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy a folder, and write down the time that counts."""
        record = next(r for r in self.src_records if src.endswith(os.sep + r["filename"]))
        most = 1000 * self.coursedir.max_dir_size
        if (size := self.get_size(src)) > most:
            self.log.error("Left in the exchange: %s: %d bytes, %d allowed", src, size, most)
            return
        left_out = ignore_patterns(
            self.coursedir.ignore, self.coursedir.include, self.coursedir.max_file_size, self.log
        )
        shutil.copytree(src, dest, symlinks=True, ignore=left_out)
        for parent, folders, files in os.walk(dest):
            for path in (Path(parent) / name for name in folders + files):
                if path.is_symlink():  # put there after we had looked
                    path.unlink()
        stamp = Path(dest) / "timestamp.txt"
        if stamp.is_dir():
            shutil.rmtree(stamp)
        stamp.unlink(missing_ok=True)
        stamp.write_text(f"{record['timestamp']} UTC")
