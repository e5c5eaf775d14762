"""The page of the documentation about ten runs: what they said and measured, around the pictures of their report."""

from __future__ import annotations

import shutil
from importlib.metadata import version

import report_pictures

PAGE = """# Ten runs

Made by `make report-example` with seatrial {version}, {when}. {where} The figures, the texts and the pictures are those
of the ten runs.

{table}

## Run {sick} closes the gate
Between run {before} and run {sick} somebody gave the broker's pod a CPU limit below one core. The claim about its
schedulers says so, and is told as the cause of the load that became slow.

```
{closed}
```

![The figures of LOAD-01 in run {sick}, each with its difference from run {before}](images/ten-runs-regression.png)

![LOAD-01 in run {sick}: by how much it is worse than in the runs before, and the remedy](images/ten-runs-failure.png)

```console
$ seatrial compare {a} {b} --profile ten-runs.toml
{worse}
```

## Run {healed} recovers
```console
$ seatrial compare {c} {d} --profile ten-runs.toml
{better}
```

## The report after run {last}
![How the claims of run {last} stand, with the cloud, the run and its verdict](images/ten-runs-results.png)

![Claims by outcome in ten runs, and what was newly violated or held again](images/ten-runs-trend.png)

What is red in every run is the claim that is waived. The lines on the right are ten runs each:

![The figures of LOAD-01 over ten runs](images/ten-runs-metrics.png)

Somebody had set the broker's share of memory by hand; run {last}, with `--remedy=safe`, put it back. How it was judged
at first is kept:

![RMQ-04: what offended, and what mended it](images/ten-runs-mended.png)

What is waived in all ten runs is a known issue, with its reason, owner and last day:

![RMQ-12: a known issue](images/ten-runs-known.png)

## The headline
![What was violated in run {sick}, and what it says now](images/ten-runs-headline.svg)

{headline}
"""
IN_REPORTS = """[Ten runs](ten-runs.md), with a regression in the middle, show what it looks like:

![Claims by outcome in ten runs, and what was newly violated or held again](images/ten-runs-trend.png)

![The figures of a load that closed the gate, and how they differ from the run before](images/ten-runs-regression.png)
"""
MARK, END = "<!-- ten runs: what stands here is written by `make report-example` -->\n", "<!-- /ten runs -->"
ON_THE_LAB = "It ran on [the lab](lab.md), with its RabbitMQ and memcached."
REHEARSED = (
    "It is a rehearsal: a real RabbitMQ on loopback was loaded, and held to a part of a core with one scheduler; all"
    " else that was judged is the [recorded cloud](lab.md#the-recorded-clouds)."
)
_HAPPENED = {1: "a durable queue, which is waived", 6: "a CPU limit on the broker", 8: "the limit is gone"}


def write(show, docs, sick, last, *, rehearsed):
    """Write the page and its pictures, from the runs that `show` has."""
    before, after, healed = sick[0] - 1, sick[0], sick[-1] + 1
    images = docs / "images"
    ids = {number: verdict["run"] for number, verdict in show.verdicts.items()}
    comparing = ("--history", "history", "--profile", "ten-runs.toml")
    now, then = show.folder / f"report-{last}.html", show.folder / f"report-{after}.html"
    report_pictures.take(
        show.folder,
        [
            (images / "ten-runs-regression.png", then, "metrics", None),
            (images / "ten-runs-failure.png", then, "LOAD-01", None),
            (images / "ten-runs-results.png", now, "", 495),
            (images / "ten-runs-trend.png", now, "charts", 415),
            (images / "ten-runs-metrics.png", now, "metrics", None),
            (images / "ten-runs-mended.png", now, "RMQ-04", None),
            (images / "ten-runs-known.png", now, "RMQ-12", None),
        ],
    )
    verdicts = (f"{after}/verdict.json", f"{last}/verdict.json")
    show.seatrial("report", *verdicts, "--headline", "svg", "--out", "headline.svg")
    shutil.copyfile(show.folder / "headline.svg", images / "ten-runs-headline.svg")
    text = PAGE.format(
        version=version("seatrial"),
        when=show.verdicts[last]["started"][:10],
        where=REHEARSED if rehearsed else ON_THE_LAB,
        table="\n".join(_table(show)),
        closed=_closed((show.folder / str(after) / "said.txt").read_text()),
        before=before,
        sick=after,
        healed=healed,
        last=last,
        a=ids[before],
        b=ids[after],
        c=ids[healed - 1],
        d=ids[healed],
        worse=show.seatrial("compare", ids[before], ids[after], *comparing, statuses=(1,)).strip(),
        better=show.seatrial("compare", ids[healed - 1], ids[healed], *comparing).strip(),
        headline=_below(show.seatrial("report", *verdicts, "--headline", "md")),
    )
    (docs / "ten-runs.md").write_text(text)
    _name_in(docs / "reports.md")


def _name_in(page):
    """Let the page about reports show two of the pictures, where it has a place for them."""
    text = page.read_text() if page.exists() else ""
    if MARK in text:
        before, _, rest = text.partition(MARK)
        page.write_text(before + MARK + IN_REPORTS + END + rest.partition(END)[2])


def _table(show):
    yield "| run | before it | verdict | messages/s | confirm p99 ms | violated | |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for number, verdict in show.verdicts.items():
        measured = show.of(number, "LOAD-01")["measured"]
        by = {entry["id"]: entry["outcome"] for entry in verdict["invariants"]}
        violated = [id_ for id_, outcome in by.items() if outcome == "violated"]
        told = [f"{id_} {outcome}" for id_, outcome in by.items() if outcome in {"waived", "mended"}]
        happened = _HAPPENED.get(number, "memory's share set by hand" if number == len(show.verdicts) else "")
        yield (
            f"| {number} | {happened} | {verdict['verdict']} | {measured['messages_per_s']:,.0f} |"
            f" {measured['confirm_p99_ms']:.1f} | {', '.join(violated)} | {', '.join(told)} |"
        )


def _closed(said):
    """Return what a run said of its gate: from its headline to its figures."""
    lines = said.splitlines()
    begins = next(number for number, line in enumerate(lines) if "the gate is closed" in line)
    ends = next(number for number, line in enumerate(lines) if line == "measured")
    return "\n".join(lines[begins:ends])


def _below(markdown):
    """Return a page without its title, its headings one level lower."""
    lines = markdown.strip().splitlines()[1:]
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines).strip()
