"""What is read from a repository is what git knows of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_history.domain import Commit, FileChange
from git_history.git import GitError, GitRepository

from .repositories import AT, ScratchRepository, make_repository


@pytest.fixture
def scratch(tmp_path: Path) -> ScratchRepository:
    return make_repository(tmp_path / "repository")


def read(scratch: ScratchRepository) -> list[Commit]:
    repository = GitRepository(scratch.path)
    return list(repository.commits(repository.hashes()))


def test_reads_hash_author_date_and_changed_lines(scratch: ScratchRepository) -> None:
    first = scratch.commit({"a.txt": "1\n2\n", "src/b.txt": "1\n"}, "Ada", AT)
    second = scratch.commit({"a.txt": "2\n3\n4\n"}, "Grace Hopper", AT + 1)
    old, new = read(scratch)
    assert old.sha == first
    assert old.author == "Ada"
    assert old.authored_at == datetime.fromtimestamp(AT, UTC)
    assert old.changes == [FileChange("a.txt", 2, 0), FileChange("src/b.txt", 1, 0)]
    assert new.sha == second
    assert new.author == "Grace Hopper"
    assert new.changes == [FileChange("a.txt", 2, 1)]


def test_merge_has_no_changes_and_follows_its_parents(
    scratch: ScratchRepository,
) -> None:
    scratch.commit({"a": "1\n"})
    scratch.git("checkout", "-q", "-b", "side")
    side = scratch.commit({"b": "1\n"})
    scratch.git("checkout", "-q", "main")
    main = scratch.commit({"c": "1\n"})
    scratch.git("merge", "-q", "--no-edit", "side", GIT_AUTHOR_NAME="Ada", EMAIL="a@b")
    commits = read(scratch)
    assert {commit.sha for commit in commits[1:3]} == {side, main}
    assert commits[3].sha == scratch.head()
    assert commits[3].changes == []


def test_commit_without_changes(scratch: ScratchRepository) -> None:
    scratch.commit({"a": "1\n"})
    scratch.commit({})
    scratch.commit({"a": "2\n"})
    assert [len(commit.changes) for commit in read(scratch)] == [1, 0, 1]


def test_binary_file_counts_no_lines(scratch: ScratchRepository) -> None:
    scratch.commit({"a.bin": bytes(range(256)), "b": "1\n"})
    assert read(scratch)[0].changes == [
        FileChange("a.bin", 0, 0),
        FileChange("b", 1, 0),
    ]


def test_rename_counts_what_changed_under_the_new_path(
    scratch: ScratchRepository,
) -> None:
    lines = [f"{number}\n" for number in range(20)]
    scratch.commit({"old/a": "".join(lines), "z": "1\n"})
    (scratch.path / "old" / "a").unlink()
    scratch.commit({"new/a": "".join([*lines, "more\n"]), "z": "2\n"})
    assert read(scratch)[1].changes == [
        FileChange("new/a", 1, 0),
        FileChange("z", 1, 1),
    ]


def test_any_file_name(scratch: ScratchRepository) -> None:
    names = ["tab\there", "line\nbreak", 'quo"te', "Żółć", "1\t1\tlike numbers"]
    scratch.commit(dict.fromkeys(names, "1\n"))
    changes = read(scratch)[0].changes
    assert sorted(change.path for change in changes) == sorted(names)
    assert {(change.added, change.removed) for change in changes} == {(1, 0)}


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("Łukasz 王小明 🚀".encode(), "Łukasz 王小明 🚀"),
        (b"Jos\xe9", "Jos\N{REPLACEMENT CHARACTER}"),
        ("Jose\N{COMBINING ACUTE ACCENT}".encode(), "José"),
        (b"", "(nobody)"),
        (b"tab\tin it", "tab\tin it"),
    ],
)
def test_any_author(scratch: ScratchRepository, given: bytes, read_as: str) -> None:
    import_commits(scratch, [(given, b"0 +0000")])
    assert [commit.author for commit in read(scratch)] == [read_as]


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (b"0 +0000", datetime(1970, 1, 1, tzinfo=UTC)),
        (b"1700000000 +9959", datetime.fromtimestamp(AT, UTC)),
        (b"4102444800 -0000", datetime(2100, 1, 1, tzinfo=UTC)),
        (b"999999999999 +0000", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_any_date(scratch: ScratchRepository, given: bytes, read_as: datetime) -> None:
    import_commits(scratch, [(b"Ada", given)])
    assert [commit.authored_at for commit in read(scratch)] == [read_as]


def test_authors_are_those_of_the_mailmap(scratch: ScratchRepository) -> None:
    mailmap = "Ada Lovelace <ada@example.org> <author@example.org>\n"
    scratch.commit({".mailmap": mailmap}, author="ada")
    assert read(scratch)[0].author == "Ada Lovelace"


def test_configuration_of_the_user_changes_nothing(scratch: ScratchRepository) -> None:
    scratch.commit({"a": "1\n2\n3\n", "b/ä": "1\n"})
    (scratch.path / "a").rename(scratch.path / "c")
    scratch.commit({"b/ä": "2\n"})
    expected = [(commit.author, commit.changes) for commit in read(scratch)]
    for name, value in {
        "color.ui": "always",
        "core.quotePath": "true",
        "diff.external": "false",
        "diff.noPrefix": "true",
        "diff.renames": "false",
        "i18n.logOutputEncoding": "latin-1",
        "log.showRoot": "false",
        "log.showSignature": "true",
    }.items():
        scratch.git("config", name, value)
    assert [(commit.author, commit.changes) for commit in read(scratch)] == expected


def test_sums_are_those_of_git(scratch: ScratchRepository) -> None:
    for number in range(20):
        scratch.commit(
            {
                f"{number % 3}/file": "".join(
                    f"{line}\n" for line in range(number % 5, number)
                )
            }
        )
    repository = GitRepository(scratch.path)
    hashes = repository.hashes()
    changes = [
        change for commit in repository.commits(hashes) for change in commit.changes
    ]
    assert len(hashes) == 20
    assert repository.lines(hashes) == (
        sum(change.added for change in changes),
        sum(change.removed for change in changes),
    )


def test_some_of_the_commits(scratch: ScratchRepository) -> None:
    for number in range(3):
        scratch.commit({"a": f"{number}\n"})
    repository = GitRepository(scratch.path)
    hashes = repository.hashes()
    assert [commit.sha for commit in repository.commits(hashes[1:])] == hashes[1:]
    assert list(repository.commits([])) == []
    assert repository.lines([]) == (0, 0)


def test_folder_within_the_repository_stands_for_all_of_it(
    scratch: ScratchRepository,
) -> None:
    sha = scratch.commit({"a": "1\n", "folder/b": "1\n"})
    repository = GitRepository(scratch.path / "folder")
    assert repository.hashes() == [sha]
    (commit,) = repository.commits([sha])
    assert [change.path for change in commit.changes] == ["a", "folder/b"]


def test_repository_of_the_environment_is_not_meant(
    scratch: ScratchRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = scratch.commit({"a": "1\n"})
    other = make_repository(tmp_path / "other")
    other.commit({"b": "1\n"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    assert GitRepository(scratch.path).hashes() == [sha]


def test_shallow_clone_says_so(scratch: ScratchRepository, tmp_path: Path) -> None:
    for number in range(3):
        scratch.commit({"a": f"{number}\n"})
    clone = ScratchRepository(tmp_path)
    clone.git("clone", "-q", "--depth=1", scratch.path.as_uri(), "clone")
    shallow = GitRepository(tmp_path / "clone")
    assert shallow.is_shallow
    assert len(shallow.hashes()) == 1
    assert not GitRepository(scratch.path).is_shallow


def test_commit_read_last_is_complete_or_missing(scratch: ScratchRepository) -> None:
    scratch.commit({"a": "1\n"})
    broken = scratch.commit({"b": "1\n", "c": "2\n"})
    blob = scratch.git("rev-parse", f"{broken}:c").decode().strip()
    (scratch.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    (scratch.path / "c").unlink()  # Or git would look there.
    repository = GitRepository(scratch.path)
    commits = repository.commits(repository.hashes())
    assert [change.path for change in next(commits).changes] == ["a"]
    with pytest.raises(GitError, match=blob):
        next(commits)


def test_no_commits_yet(scratch: ScratchRepository) -> None:
    with pytest.raises(GitError, match="no commits yet"):
        GitRepository(scratch.path)


def test_not_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(GitError, match="not a git repository"):
        GitRepository(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"missing.*No such file or directory"):
        GitRepository(tmp_path / "missing")


def test_no_git(
    scratch: ScratchRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch.commit({"a": "1\n"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed"):
        GitRepository(scratch.path)


def import_commits(
    scratch: ScratchRepository, commits: list[tuple[bytes, bytes]]
) -> None:
    """Make commits with names and dates that `git commit` would refuse."""
    stream = b"".join(
        b"commit refs/heads/main\n"
        b"author %s <a@example.org> %s\n"
        b"committer C <c@example.org> 0 +0000\n"
        b"data 0\n" % commit
        for commit in commits
    )
    scratch.git("fast-import", "--quiet", "--date-format=raw-permissive", given=stream)
