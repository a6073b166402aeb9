"""What the ORM itself can do: one session for each page of events, and nothing else."""

from collections.abc import Mapping
from itertools import islice
from time import perf_counter

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks.contestants import url
from benchmarks.domain import Shop
from benchmarks.forms.orm import Base, Count
from benchmarks.jobs import Job
from benchmarks.workload import fill, orders

PAGE = 500
"""Events in a session, as in a batch of our runner."""


def project(job: Job) -> Mapping[str, float]:
    """Counts the events of each kind."""
    shop = Shop(env=job.environment)
    total = fill(shop, islice(orders(0), job.sizes.mapped))
    engine = create_engine(url(job.database, job.address))
    Base.metadata.create_all(engine)
    begun = perf_counter()
    for first in range(1, total + 1, PAGE):
        page = shop.recorder.select_notifications(first, PAGE)
        with Session(engine) as session, session.begin():
            for each in page:
                _count(session, type(shop.mapper.to_domain_event(each)).__name__)
    seconds = perf_counter() - begun
    engine.dispose()
    return {"rate": total / seconds}


def _count(session: Session, name: str) -> None:
    count = session.get(Count, name)
    if count is None:
        session.add(Count(name=name, value=1))
    else:
        count.value += 1
    session.flush()
