"""Courses and students, with decisions that depend on both."""

from typing import Any

from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import EnduringObject, Group
from eventsourcing.dcb.msgpack import Decision, InitialDecision
from eventsourcing.domain import event


class RefusedError(Exception):
    """A student may not join a course."""


class Joined(Decision):
    """A student has joined a course."""

    student_id: str
    course_id: str


class Student(EnduringObject[Decision]):
    """Joins a number of courses at the most."""

    class Registered(InitialDecision):
        """A student is known."""

        student_id: str
        name: str
        most: int

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.course_ids: list[str] = []

    @event(Joined)
    def _(self, course_id: str) -> None:
        if course_id in self.course_ids or len(self.course_ids) >= self.most:
            raise RefusedError
        self.course_ids.append(course_id)


class Course(EnduringObject[Decision]):
    """Has places for a number of students."""

    class Registered(InitialDecision):
        """A course is offered."""

        course_id: str
        name: str
        places: int

    def __init__(self, name: str, places: int) -> None:
        self.name = name
        self.places = places
        self.student_ids: list[str] = []

    @event(Joined)
    def _(self, student_id: str) -> None:
        if len(self.student_ids) >= self.places:
            raise RefusedError
        self.student_ids.append(student_id)


class StudentAndCourse(Group[Decision]):
    """What a student who joins a course depends on."""

    def __init__(self, student: Student, course: Course) -> None:
        self.student = student
        self.course = course

    def join(self) -> None:
        """Decides, by the rules of both."""
        self.trigger_event(Joined, student_id=self.student.id, course_id=self.course.id)


class School(DCBApplication):
    """Three operations, each of which appends one event under a condition."""

    name = "school"
    env = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}  # noqa: RUF012

    def register_student(self, name: str, most: int) -> str:
        """Registers a student; returns the ID."""
        return self._saved(Student(name=name, most=most))

    def register_course(self, name: str, places: int) -> str:
        """Offers a course; returns its ID."""
        return self._saved(Course(name=name, places=places))

    def join(self, student_id: str, course_id: str) -> None:
        """Reads the events of both, decides, and appends if there are no others yet."""
        both = self.repository.get_group(StudentAndCourse, student_id, course_id)
        both.join()
        self.repository.save(both)

    def _saved(self, new: EnduringObject[Any]) -> str:
        self.repository.save(new)
        return new.id
