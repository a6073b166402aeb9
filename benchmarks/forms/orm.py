"""Objects that a session loads, adds and flushes."""

from eventsourcing.persistence import Tracking
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.peers import TABLE
from eventsourcing_alchemy import SQLAlchemyMaterialisedView


class Base(DeclarativeBase):
    """Of the classes of this view."""


class Count(Base):
    """How many events there are of a kind."""

    __tablename__ = TABLE

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int]


class MappedCounts(SQLAlchemyMaterialisedView):
    """How many events there are of each kind."""

    metadata = Base.metadata

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.session(tracking) as session:
            count = session.get(Count, name)
            if count is None:
                session.add(Count(name=name, value=1))
            else:
                count.value += 1
