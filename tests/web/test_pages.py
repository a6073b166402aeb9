"""Each view in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from playwright.sync_api import Browser, Page, expect

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import CannotConnectError
from eventsourcing_alchemy.operations.dead_letters import dead_letters_of
from eventsourcing_alchemy.web import actions
from factories import OpenFactory
from positions import Positions
from web.conftest import Serve
from web.school import HOSTILE, Noting, School

pytestmark = pytest.mark.needs(Capability.SHARED)

LETTER = "projection=noting&application=School&position=2"

ADDRESSES = "links => links.map(link => link.href)"


@pytest.fixture
def _left(school: School) -> None:
    assert school


class TestOverview:
    @pytest.mark.usefixtures("_left")
    def test_shows_applications_and_projections(self, page: Page, serve: Serve) -> None:
        page.goto(serve())
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        row = page.get_by_role("row").filter(has_text="noting")
        expect(row).to_contain_text("School")
        expect(row).to_contain_text("stopped")
        expect(row).to_contain_text("5 of 5")
        expect(row.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("Lag of noting: 0 s now")
        )
        row.get_by_role("link", name="noting").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("noting of School")
        page.get_by_role("link", name="The events after its position").click()
        expect(page.get_by_text("No events between these positions")).to_be_visible()

    def test_of_nothing(self, page: Page, serve: Serve) -> None:
        page.goto(serve())
        expect(page.get_by_text("No applications yet.")).to_be_visible()
        expect(page.get_by_text("No projections yet")).to_be_visible()

    @pytest.mark.usefixtures("_left")
    def test_looks_again_by_itself(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        page.goto(serve())
        open_factory("late").tracking_recorder(Positions).note(Tracking("School", 1))
        row = page.get_by_role("row").filter(has_text="late")
        expect(row).to_contain_text("1 of 5")

    def test_of_a_database_that_is_away(
        self,
        page: Page,
        serve: Serve,
        datastore: SQLAlchemyDatastore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It says so, and goes on when it is back."""

        def fail(*_: object) -> Any:
            raise CannotConnectError("it is away")

        url = serve()
        whole = datastore.retrying
        monkeypatch.setattr(datastore, "retrying", fail)
        page.wait_for_timeout(250)
        answer = page.goto(url)
        assert answer
        assert answer.status == 503
        expect(page.get_by_role("alert")).to_contain_text("it is away")
        monkeypatch.setattr(datastore, "retrying", whole)
        page.wait_for_timeout(250)
        page.goto(url)
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        expect(page.get_by_text("Outages seen from here")).to_be_visible()


class TestEvents:
    @pytest.mark.usefixtures("_left")
    def test_newest_first(self, page: Page, serve: Serve) -> None:
        page.goto(f"{serve()}/events")
        rows = page.locator("#rows tr")
        expect(rows).to_have_count(5)
        expect(rows.first).to_contain_text("Dog.TrickAdded")
        expect(rows.first).to_contain_text("sit")
        rows.last.get_by_role("link").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "Position 1 of School"
        )
        expect(page.locator("pre")).to_contain_text('"name": "Fido"')

    @pytest.mark.usefixtures("_left")
    def test_by_topic_and_aggregate(self, page: Page, serve: Serve) -> None:
        page.goto(f"{serve()}/events")
        page.get_by_label("Topic").fill("web.school:Dog.Registered")
        page.get_by_role("button", name="Show").click()
        rows = page.locator("#rows tr")
        expect(rows).to_have_count(2)
        aggregate_id = rows.last.locator(".id").text_content()
        page.get_by_label("Aggregate").fill(str(aggregate_id))
        page.get_by_label("Aggregate").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text(str(aggregate_id))

    def test_page_by_page(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        recorder = open_factory("Many").application_recorder()
        recorder.insert_events(
            [StoredEvent(uuid4(), 1, "t", b"{}") for _ in range(120)]
        )
        page.goto(f"{serve()}/events?application=Many")
        seen = []
        for _ in range(3):
            seen += page.locator("#rows tr td:first-child").all_text_contents()
            older = page.get_by_role("link", name="Older")
            if older.count():
                older.click()
        assert [int(each) for each in seen] == list(range(120, 0, -1))
        page.get_by_role("link", name="Newer").click()
        first = page.locator("#rows tr td:first-child").first
        expect(first).to_have_text("70")

    def test_follow_live(self, page: Page, serve: Serve, school: School) -> None:
        page.goto(f"{serve()}/events")
        follow = page.get_by_role("button", name="Follow live")
        follow.click()
        school.register("Live", HOSTILE)
        rows = page.locator("#rows tr")
        expect(rows).to_have_count(7)
        expect(rows.nth(1)).to_contain_text("Live")
        expect(page.get_by_role("status")).to_have_text("2 new events")
        page.get_by_role("button", name="Following").click()
        school.register("Unseen")
        page.wait_for_timeout(800)
        expect(rows).to_have_count(7)
        page.get_by_role("button", name="Follow live").click()
        expect(rows).to_have_count(8)
        assert page.title() != "taken"

    @pytest.mark.usefixtures("_left")
    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("/events?application=nobody", 404),
            ("/event?application=School&position=99", 404),
            ("/event?application=School&position=x", 400),
            ("/event?position=1", 400),
            ("/event?application=School&position=99999999999999999999", 400),
            ("/events?application=School&before=-1", 400),
            ("/aggregate?application=School&id=" + quote(HOSTILE), 404),
            ("/aggregate?application=School&id=a%00b", 400),
            ("/projection?name=x&application=" + quote(HOSTILE), 404),
            ("/dead-letter?projection=x&application=y&position=1", 404),
            ("/live?application=" + quote(HOSTILE), 404),
            ("/" + quote(HOSTILE, safe=""), 404),
            ("/static/../application.py", 404),
            ("/static/%2e%2e/application.py", 404),
        ],
    )
    def test_what_is_not_there(
        self, page: Page, serve: Serve, address: str, status: int
    ) -> None:
        answer = page.goto(serve() + address)
        assert answer
        assert answer.status == status
        assert page.title() != "taken"


class TestAggregate:
    @pytest.mark.usefixtures("_left")
    def test_shows_what_each_event_has_changed(self, page: Page, serve: Serve) -> None:
        page.goto(f"{serve()}/events")
        page.locator("#rows tr").last.locator(".id").click()
        steps = page.locator(".history li")
        expect(steps).to_have_count(3)
        expect(steps.last).to_contain_text("'Fido'")
        change = steps.nth(1).get_by_role("row").filter(has_text="tricks")
        expect(change.locator(".before")).to_have_text("[]")
        expect(change.locator(".after")).to_have_text("['roll over']")
        steps.last.get_by_text("State of the event").click()
        expect(steps.last.locator("pre")).to_contain_text('"name": "Fido"')

    def test_of_long_values_shows_what_is_new(
        self, page: Page, serve: Serve, school: School
    ) -> None:
        dog_id = school.register("Rex", *(f"trick {n}" for n in range(200)))
        page.goto(f"{serve()}/aggregate?application=School&id={dog_id}")
        newest = page.locator(".history li").first
        expect(newest.locator(".before")).to_have_text(re.compile("'trick 198']$"))
        expect(newest.locator(".after")).to_have_text(
            re.compile("^….*'trick 198', 'trick 199']$")
        )

    def test_imports_nothing_that_events_name(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        import sys

        originator_id = uuid4()
        recorder = open_factory("Odd").application_recorder()
        topics = ["antigravity:Nothing", "web.school:School", "os:system"]
        recorder.insert_events(
            [
                StoredEvent(originator_id, version, topic, b"{}")
                for version, topic in enumerate(topics, 1)
            ]
        )
        url = f"{serve()}/aggregate?application=Odd&id={originator_id}"
        page.goto(url)
        expect(page.locator(".notice")).to_contain_text("antigravity:Nothing")
        expect(page.locator(".history li")).to_have_count(3)
        assert "antigravity" not in sys.modules


class TestHostile:
    def test_everything_is_shown_as_it_is(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        """Names, topics, states and errors, on each page."""
        from eventsourcing_alchemy import DeadLetters

        state = (
            '{"' + HOSTILE.replace('"', '\\"').replace("\n", "\\n") + '":1}'
        ).encode()
        topic = HOSTILE[:200]
        name = f"{HOSTILE[:120]}/../?a=b&c#d%00"
        recorder = open_factory(name).application_recorder()
        recorder.insert_events([StoredEvent(uuid4(), 1, topic, state)])
        view = open_factory(name).tracking_recorder(Positions)
        DeadLetters(view).record(Tracking(name, 1), topic, ValueError(HOSTILE), 1)
        url = serve(allow_actions=True)
        page.goto(url)
        page.get_by_role("row").filter(has_text="</script>").get_by_role(
            "link", name=re.compile("script")
        ).first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("</script>")
        page.goto(f"{url}/events?application={quote(name, safe='')}")
        row = page.locator("#rows tr")
        expect(row).to_contain_text("{{7*7}}")
        expect(row).to_contain_text("<img src=x onerror=")
        row.get_by_role("link").nth(2).click()
        expect(page.locator(".history li")).to_have_count(1)
        page.goto(f"{url}/dead-letters")
        page.locator("td.num a").click()
        expect(page.locator("pre.error")).to_contain_text("</script>")
        assert page.title() != "taken"
        assert page.locator("main script, main img").count() == 0

    def test_what_is_not_seen_is_escaped(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        """As by commands; also lone surrogates, which JSON has, and no encoding."""
        originator_id = uuid4()
        recorder = open_factory("Odd").application_recorder()

        def record(version: int) -> None:
            state = rb'{"file": "caf\udce9\u202e", "lines": "a\nb"}'
            recorder.insert_events([StoredEvent(originator_id, version, "o:T", state)])

        record(1)
        url = serve()
        page.goto(f"{url}/events?application=Odd")
        rows = page.locator("#rows tr")
        expect(rows).to_contain_text(r'{"file": "caf\udce9\u202e", "lines": "a\nb"}')
        page.get_by_role("button", name="Follow live").click()
        record(2)
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text(r"caf\udce9\u202e")
        for address in ("event?position=1", f"aggregate?id={originator_id}"):
            answer = page.goto(f"{url}/{address}&application=Odd")
            assert answer
            assert answer.status == 200
            expect(page.locator("pre").first).to_have_text(
                '{\n  "file": "caf\\udce9\\u202e",\n  "lines": "a\\nb"\n}'
            )

    @pytest.mark.usefixtures("_left")
    def test_forms_send_names_as_they_are(
        self, page: Page, serve: Serve, open_factory: OpenFactory
    ) -> None:
        name = "Odd\N{RIGHT-TO-LEFT OVERRIDE}\N{NO-BREAK SPACE}&amp;"
        recorder = open_factory(name).application_recorder()
        recorder.insert_events([StoredEvent(uuid4(), 1, "o:T", b"{}")])
        letters = dead_letters_of(recorder.datastore, name)
        letters.record(Tracking(name, 1), "o:T", ValueError(), 1)
        url = serve(allow_actions=True)
        page.goto(f"{url}/events?application=School")
        page.get_by_label("Application").select_option(label=r"Odd\u202e\xa0&amp;")
        page.get_by_label("Topic").fill("o:T")
        for _ in range(2):
            page.get_by_role("button", name="Show").click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(r"Odd\u202e")
            expect(page.locator("#rows tr")).to_have_count(1)
        page.goto(f"{url}/dead-letters?projection={quote(name)}")
        page.locator("td.num a").click()
        page.get_by_text("Discard…").click()
        page.get_by_role("button", name="Discard", exact=True).click()
        expect(page.get_by_text("No dead letters.")).to_be_visible()


class TestDeadLetters:
    @pytest.mark.usefixtures("_left")
    def test_are_read_only_by_default(
        self, page: Page, serve: Serve, config: Path
    ) -> None:
        url = serve(config=str(config))
        page.goto(f"{url}/dead-letters")
        page.locator("td.num a").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("position 2")
        expect(page.locator("pre.traceback")).to_contain_text("in process_event")
        expect(page.get_by_role("button")).to_have_count(0)
        answer = page.request.post(f"{url}/dead-letter/discard", form={"position": "2"})
        assert answer.status == 404

    @pytest.mark.usefixtures("_left")
    def test_retry(
        self,
        page: Page,
        serve: Serve,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        page.goto(f"{serve(config=config, allow_actions=True)}/dead-letters")
        page.locator("td.num a").first.click()
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_role("alert")).to_contain_text("ValueError: </script>")
        expect(page.locator(".facts")).to_contain_text("Attempts2")
        monkeypatch.setattr(Noting, "is_mended", True)
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("No dead letters.")).to_be_visible()
        assert page.title() != "taken"

    @pytest.mark.usefixtures("_left")
    def test_page_by_page(
        self, page: Page, serve: Serve, monkeypatch: pytest.MonkeyPatch, school: School
    ) -> None:
        monkeypatch.setattr(actions, "SHOWN", 2)
        factory: Any = school.factory
        for name in ("another", HOSTILE):
            letters = dead_letters_of(factory.datastore, name)
            for position in (1, 3):
                error = ValueError("no")
                letters.record(Tracking("School", position), "t:1", error, 1)
        page.goto(f"{serve()}/dead-letters")
        links = page.locator("td.num a")
        seen = set(links.evaluate_all(ADDRESSES))
        for _ in range(2):
            page.get_by_role("link", name="Next").click()
            page.wait_for_load_state()
            seen |= set(links.evaluate_all(ADDRESSES))
        assert len(seen) == 5
        expect(page.get_by_role("link", name="Next")).to_have_count(0)
        page.get_by_role("link", name="First").click()
        expect(page.get_by_role("link", name="First")).to_have_count(0)

    @pytest.mark.usefixtures("_left")
    def test_discard(self, page: Page, serve: Serve) -> None:
        page.goto(f"{serve(allow_actions=True)}/dead-letters")
        page.locator("td.num a").first.click()
        expect(page.get_by_role("button", name="Retry")).to_have_count(0)
        self._discard(page)

    @pytest.mark.usefixtures("_left")
    def test_discard_without_scripts(self, browser: Browser, serve: Serve) -> None:
        """It asks nevertheless: a script may be late, or kept from working."""
        url = serve(allow_actions=True)
        with browser.new_context(java_script_enabled=False) as context:
            page = context.new_page()
            page.goto(f"{url}/dead-letter?{LETTER}")
            self._discard(page)

    def _discard(self, page: Page) -> None:
        button = page.get_by_role("button", name="Discard", exact=True)
        expect(button).not_to_be_visible()
        page.get_by_text("Discard…").click()
        expect(page.get_by_text("Forget this dead letter?")).to_be_visible()
        button.click()
        expect(page.get_by_text("No dead letters.")).to_be_visible()


@pytest.mark.once
class TestAccessibility:
    @pytest.mark.usefixtures("_left")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    def test_of_each_page(
        self, browser: Browser, serve: Serve, scheme: Any, width: int
    ) -> None:
        """Landmarks, names, contrast; and nothing is wider than the screen."""
        url = serve(allow_actions=True)
        with browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 800}
        ) as context:
            page = context.new_page()
            for address in (
                "/",
                "/events",
                "/dead-letters",
                f"/dead-letter?{LETTER}",
                "/projection?name=noting&application=School",
                "/event?application=School&position=1",
                "/nothing",
            ):
                page.goto(url + address)
                for landmark in ("banner", "main", "contentinfo"):
                    expect(page.get_by_role(landmark)).to_have_count(1)
                assert page.locator("h1").count() == 1
                assert page.locator("html").get_attribute("lang") == "en"
                assert page.evaluate(UNNAMED) == []
                assert page.evaluate(LOW_CONTRAST) == [], (address, scheme)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()

    @pytest.mark.usefixtures("_left")
    def test_by_keyboard(self, page: Page, serve: Serve) -> None:
        page.goto(serve())
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        for _ in range(8):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "noting":
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("noting of School")


UNNAMED = """() => [...document.querySelectorAll("a, button, input, select, svg")]
    .filter((each) => each.type !== "hidden" && !each.hidden)
    .filter((each) => !(each.textContent.trim() || each.ariaLabel
        || each.labels?.length || each.title))
    .map((each) => each.outerHTML)"""

LOW_CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d");
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = ([r, g, b]) => [r, g, b]
        .map((each) => each / 255)
        .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, i) => sum + each * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const color = rgba(getComputedStyle(each).backgroundColor);
            if (color[3] === 255) return color;
        }
        return rgba("white");
    };
    const found = [];
    for (const each of document.querySelectorAll("body *")) {
        const has_text = [...each.childNodes].some((node) =>
            node.nodeType === 3 && node.textContent.trim());
        if (!has_text || !each.checkVisibility()) continue;
        const colors = [rgba(getComputedStyle(each).color), ground(each)];
        const [a, b] = colors.map(luminance);
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push(ratio.toFixed(1) + each.outerHTML.slice(0, 80));
    }
    return found;
}"""
