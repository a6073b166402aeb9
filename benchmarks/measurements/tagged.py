"""Events with tags, through a recorder; and the enrolment example."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Barrier as ThreadBarrier
from time import perf_counter
from typing import Any

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBRecorder,
)

from benchmarks.jobs import Job
from benchmarks.measurements.append import WARM_UP, WRITERS, in_processes
from benchmarks.school import School
from benchmarks.workload import LOAD

TYPES = ("StudentRegistered", "CourseOffered", "StudentJoined")
DATA = b"{'student': 'student-00000001', 'course': 'course-00000001', 'grade': 1}" * 2

ENTITY = 20
"""Events of an entity that is read."""

SEATS = 20
"""Events after which a writer goes on with another student and another course."""

CLASS = 10
"""Students who join a course, in the enrolment example."""


def joined(student: str, course: str) -> DCBEvent:
    """A fact about two entities."""
    return DCBEvent("StudentJoined", DATA, [student, course])


def of_both(student: str, course: str) -> DCBQuery:
    """All that was ever decided about a student, or about a course."""
    return DCBQuery([DCBQueryItem(tags=[student]), DCBQueryItem(tags=[course])])


class Writer:
    """Appends events of two tags, each if there was none of either since the last.

    Args:
        recorder: to append to.
        name: tells its students and courses from those of others.
    """

    def __init__(self, recorder: DCBRecorder, name: object) -> None:
        self._recorder = recorder
        self._name = name
        self._numbers = count()
        self._last: int | None = None

    def append(self) -> None:
        """Appends one."""
        entity, _ = divmod(next(self._numbers), SEATS)
        student, course = (
            f"{what}-{self._name}-{entity:08}" for what in ("student", "course")
        )
        condition = DCBAppendCondition(of_both(student, course), after=self._last)
        self._last = self._recorder.append([joined(student, course)], condition)


def append_conditional(job: Job) -> Mapping[str, float]:
    """One client; the time is that inside of the recorder, for the most part."""
    append = Writer(_school(job).recorder, 0).append
    for _ in range(WARM_UP):
        append()
    return {"rate": _rate(append, job.sizes.seconds)}


def append_threads(job: Job) -> Mapping[str, float]:
    """Threads that share a recorder."""
    recorder = _school(job).recorder
    barrier = ThreadBarrier(WRITERS)
    write = partial(write_among, recorder, job.sizes.seconds, barrier.wait)
    with ThreadPoolExecutor(WRITERS) as pool:
        return {"rate": sum(pool.map(write, range(WRITERS)))}


def append_processes(job: Job) -> Mapping[str, float]:
    """Processes, each with a recorder of its own."""
    return {"rate": in_processes(job, School, write_among)}


def append_100(job: Job) -> Mapping[str, float]:
    """A hundred events of two tags, without a condition."""
    recorder = _school(job).recorder
    batches = _batches(100)
    for _ in range(WARM_UP):
        recorder.append(next(batches))
    return {
        "rate": 100 * _rate(lambda: recorder.append(next(batches)), job.sizes.seconds)
    }


def read_entity(job: Job) -> Mapping[str, float]:
    """The events of one entity."""
    recorder = _school(job).recorder
    entities = job.sizes.tagged // ENTITY
    numbers = count(7, 7919)

    def read() -> None:
        tag = _student(next(numbers) % entities)
        found = list(recorder.read(DCBQuery([DCBQueryItem(tags=[tag])])))
        assert len(found) == ENTITY  # noqa: S101

    return {"rate": _rate(read, job.sizes.seconds)}


def read_either(job: Job) -> Mapping[str, float]:
    """The events of a student, and of a course with as many, of 10,000 events."""
    recorder = _school(job).recorder
    numbers = count(7, 7919)
    taken: list[float] = []
    deadline = perf_counter() + job.sizes.seconds
    while perf_counter() < deadline:
        number = next(numbers) % (OR // ENTITY)
        query = of_both(_student(number), _course(number * ENTITY))
        begun = perf_counter()
        found = list(recorder.read(query))
        taken.append(1000 * (perf_counter() - begun))
        assert len(found) >= ENTITY  # noqa: S101
    taken.sort()
    return {"p50": taken[len(taken) // 2]}


OR = 10_000
"""Events among which there are those of two tags."""


def enrol(job: Job) -> Mapping[str, float]:
    """Operations of the enrolment example: a course, students, who join it."""
    school = _school(job)
    operations = _enrolment(school)
    for _ in range(WARM_UP):
        next(operations)
    return {"rate": _rate(lambda: next(operations), job.sizes.seconds)}


def fill_log(job: Job) -> Mapping[str, float]:
    """Stores what is read: students with 20 events each, courses that many join."""
    fill(_school(job).recorder, job.sizes.tagged)
    return {}


def fill_small_log(job: Job) -> Mapping[str, float]:
    """The same, with 10,000 events."""
    fill(_school(job).recorder, OR)
    return {}


def fill(recorder: DCBRecorder, events: int) -> None:
    """Stores events of two tags."""
    batches = _batches(LOAD)
    for _ in range(0, events, LOAD):
        recorder.append(next(batches))


def write_among(
    recorder: DCBRecorder, seconds: float, wait: Callable[[], object], seed: int
) -> float:
    """The rate of one of several writers, all of which go on for the same time."""
    append = Writer(recorder, seed).append
    for _ in range(WARM_UP):
        append()
    wait()
    return _rate(append, seconds)


def _school(job: Job) -> School:
    return School(env=job.environment)


def _student(number: int) -> str:
    return f"student-{number:08}"


def _course(number: int) -> str:
    return f"course-{number % 500:08}"


def _batches(size: int) -> Iterator[list[DCBEvent]]:
    """Events without end: each student joins 20 courses."""
    for first in count(0, size):
        yield [
            joined(_student(number // ENTITY), _course(number))
            for number in range(first, first + size)
        ]


def _enrolment(school: School) -> Iterator[Any]:
    for number in count():
        course = school.register_course(f"course {number}", CLASS)
        yield course
        for _ in range(CLASS):
            student = school.register_student(f"student {number}", 3)
            yield student
            school.join(student, course)
            yield course


def _rate(act: Callable[[], object], seconds: float) -> float:
    """How often in a second."""
    begun = perf_counter()
    done = 0
    while perf_counter() < begun + seconds:
        act()
        done += 1
    return done / (perf_counter() - begun)
