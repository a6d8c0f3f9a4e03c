"""The report and the comparison, on synthetic sessions: what stands in them, and that nothing in a session breaks them."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import DEVICE, PROTOCOL, model, rounds, session, sha256, state

from android_bench import UNTRIED
from android_bench.emulation.qemu import Count
from android_bench.record import Event, parse_session, to_json, write_session
from android_bench.reporting.comparison import compare_sessions
from android_bench.reporting.report import to_html, to_markdown
from android_bench.reporting.summary import summarise
from larqnets.errors import LarqnetsError

VOID = {"meta", "br", "img", "link", "hr", "input"}
BINARY = model()
FUNCTIONAL = dataclasses.replace(DEVICE, functional_only=True)


def levels(ms, seed, spread=0.004):
    """Ten rounds around `ms` that scatter by `spread`."""
    return rounds(list(ms * np.exp(np.random.default_rng(seed).normal(0, spread, 10))), seed)


def twin(role, ms, **changes):
    return model(role, role=role, twin_of=BINARY.sha256, rounds=levels(ms, seed=len(role)), profile=None, **changes)


WHOLE = session(BINARY, twin("float", 31, accuracy=0.97), twin("int8", 12, accuracy=0.96))


class Page(HTMLParser):
    """Parses a page strictly: every element is closed in its order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.outline, self.words = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3", "h4", "th", "dt") and data.strip():
            self.outline.append(f"{self.open[-1]} {data.strip()}")


def test_outline_of_a_page():
    """What is on the page, in which order: a change of it is a change that somebody means."""
    page = Page(to_html([WHOLE]))
    assert [line for line in page.outline if line[:2] != "dt"] == [
        "h1 synthetic phone: latency of 3 models",
        "h3 Latency",
        *("th model", "th median, ms", "th 95% interval", "th p90, ms", "th beside its twins"),
        "h3 What else it costs",
        *("th model", "th accuracy", "th file", "th peak memory", "th load, ms", "th first inference, ms"),
        *("th rounds that count", "th noise"),
        "h3 Accuracy against latency",
        "h3 The session over time",
        "h3 Where the time goes",
        "h4 binary",
        *("th layer", "th ms", "th share"),
        "h3 Discarded rounds",
        "h3 The same on the device as on the host",
        *("th model", "th outputs", "th largest difference", "th allowed", "th same class", "th samples"),
        "h3 Provenance",
    ]
    facts = [line[3:] for line in page.outline if line.startswith("dt ")]
    assert facts[:7] == ["device", "system", "cores", "pinned to", "clocks", "how warm", "how sure"]
    assert UNTRIED in page.text
    assert "Nothing stood out" in page.text


def test_a_report_of_another_task_has_its_score_and_of_several_compares_none():
    of_miou = [dataclasses.replace(m, score="miou") for m in WHOLE.models]
    for models, head, shown in ((of_miou, "miou", True), ([of_miou[0], *WHOLE.models[1:]], "score", False)):
        given = dataclasses.replace(WHOLE, models=tuple(models))
        page, markdown = Page(to_html([given])), to_markdown([given])
        assert f"th {head}" in page.outline
        assert ("h3 Miou against latency" in page.outline) == any(m.on_front for m in summarise(given).models) == shown
        assert f"| model | {head} | file |" in markdown
        assert ("95.00% miou" in page.text.replace("\xa0", " ")) == ("95.00% miou" in markdown) == (not shown)


def test_the_page_needs_nothing_else():
    html = to_html([WHOLE, dataclasses.replace(WHOLE, session="other")])
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(\s*[\"']?(?!#)|@import|https?://", html)
    assert all(value.startswith("#") for _, name, value in page.attributes if name in ("href", "xlink:href", "src"))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)), "two pictures share a name"
    assert ("meta", "name", "viewport") in page.attributes


def test_numbers_on_the_page_are_those_of_the_summary():
    summary = summarise(WHOLE)
    binary, float_twin, _ = summary.models
    text = Page(to_html([WHOLE])).text
    assert f"{binary.latency.median_ms:.2f}" in text
    assert f"{float_twin.latency.median_ms:.2f}" in text
    ratio = float_twin.latency.median_ms / binary.latency.median_ms
    (beside_float, beside_int8) = binary.pairings
    assert beside_float.ratio.ratio == pytest.approx(ratio, rel=0.01)
    assert beside_float.verdict == beside_int8.verdict == "slower"
    assert f"{beside_float.ratio.ratio:.2f} times as fast as its float twin" in text
    assert f"{beside_int8.ratio.ratio:.2f} times as fast as its int8 twin" in text
    assert [m.on_front for m in summary.models] == [True, True, True]
    for group in ("real (float or int8) 3.0", "binary 5.5", "glue 0.5"):
        assert group in text
    markdown = to_markdown([WHOLE])
    assert f"{beside_float.ratio.ratio:.2f} times as fast as its float twin" in markdown
    assert f"| binary | {binary.latency.median_ms:.2f} |" in markdown
    assert UNTRIED in markdown


def test_a_model_without_a_twin_says_so():
    alone = session(BINARY, model("other", rounds=levels(5, 3)))
    assert [(p.other, p.verdict) for m in summarise(alone).models for p in m.pairings] == [("binary", "slower")]
    for text in (Page(to_html([alone])).text, to_markdown([alone])):
        assert text.count("no twin") == 2
    orphan = session(BINARY, twin("float", 31, accuracy=None))
    only_discarded = tuple(dataclasses.replace(r, discarded="hot") for r in orphan.models[1].rounds)
    orphan = dataclasses.replace(orphan, models=(BINARY, dataclasses.replace(orphan.models[1], rounds=only_discarded)))
    assert "no round counts for both it and a twin" in Page(to_html([orphan])).text


def test_a_file_counted_in_two_ways_stands_beside_itself_and_its_twins():
    chosen = dataclasses.replace(BINARY, kernels="chosen")
    popcount = model("binary (popcount)", sha256=BINARY.sha256, kernels="popcount", rounds=rounds([20.0] * 10))
    twin = model("float", role="float", twin_of=BINARY.sha256, rounds=rounds([50.0] * 10))
    beside = {m.record.name: [p.other for p in m.pairings] for m in summarise(session(chosen, popcount, twin)).models}
    assert beside == {"binary": ["float"], "binary (popcount)": ["float", "binary"], "float": []}
    alone = summarise(session(chosen, popcount)).models[1]
    assert [p.other for p in alone.pairings] == ["binary"]
    assert alone.pairings[0].ratio.ratio == pytest.approx(0.5, rel=0.02)
    page = to_html([session(chosen, popcount, twin)])
    assert "1-bit convolutions: popcount kernels" in page
    assert "LceBconv2d, classes" in page
    counted = [
        dataclasses.replace(m, rounds=(), instructions=Count("cortex-a72", number, 5, 2, (), 20, 30))
        for number, m in ((100, chosen), (200, popcount), (900, twin))
    ]
    rows = summarise(session(*counted, device=FUNCTIONAL)).to_json()["instructions"]
    assert [row["counts"] for row in rows] == [{"binary": 100, "float": 900}, {"binary": 200}]


def test_ratios_use_the_rounds_that_both_have():
    """Rounds 0 to 4 were twice as slow for both: without pairing, a model that lacks them would look twice as fast."""
    slow = [20.0] * 5 + [10.0] * 10
    a = model(rounds=rounds(slow, 1))
    b = twin("float", 1)
    b = dataclasses.replace(b, rounds=rounds(slow, 2)[5:])
    (pairing,) = summarise(session(a, b)).models[0].pairings
    assert pairing.ratio.rounds == 10
    assert pairing.ratio.ratio == pytest.approx(1, abs=0.01)


def changed(record, **changes):
    return dataclasses.replace(record, rounds=tuple(dataclasses.replace(r, **changes) for r in record.rounds))


WARNED = {
    "no round": (session(dataclasses.replace(BINARY, rounds=())), "binary: no round was run, so there is no latency."),
    "all discarded": (session(changed(BINARY, discarded="hot")), "binary: every round was discarded"),
    "one round": (session(model(rounds=rounds([10.0]))), "binary: fewer than 6 rounds: no interval"),
    "some": (session(dataclasses.replace(BINARY, rounds=BINARY.rounds[:8])), "binary: only 8 of 10 rounds count."),
    "noise": (session(model(rounds=levels(10, 1, spread=0.05))), "binary: its rounds scatter by"),
    "drift": (session(model(rounds=rounds(list(np.linspace(10, 11, 10))))), "binary: later rounds are 5."),
    "fault": (session(model(fault="It was killed.")), "binary: It was killed."),
    "incomplete": (session(complete=False), "The session was not completed"),
    "unequal": (
        session(model(equality=dataclasses.replace(BINARY.equality, equal=False))),
        "binary: its outputs on the device differ",
    ),
    "event": (session(events=(Event(1.0, "warning", "binary", "The battery is low."),)), "binary: The battery is low."),
}


@pytest.mark.parametrize(("faulty", "warning"), WARNED.values(), ids=WARNED)
def test_what_is_wrong_is_said_everywhere(faulty, warning):
    assert any(text.startswith(warning) for text in summarise(faulty).warnings)
    page = Page(to_html([faulty]))
    assert warning in page.text
    assert "Nothing stood out" not in page.text
    assert warning in to_markdown([faulty])


def test_warm_up_that_is_too_short_is_said():
    warming = 10 * (1 + 0.3 * np.exp(-np.arange(50) / 8))
    settles = session(changed(BINARY, latencies_ms=tuple(map(float, warming))))
    assert any("the warm-up is too short" in text for text in summarise(settles).warnings)


def test_discarded_rounds_are_listed_with_their_reason():
    first, *rest = BINARY.rounds
    redone = dataclasses.replace(
        BINARY, rounds=(dataclasses.replace(first, discarded="core 4 was capped"), first, *rest)
    )
    text = Page(to_html([session(redone)])).text
    assert "round 1, minute 0.0: core 4 was capped" in text
    assert "10 of 10 rounds count for every model, 500 invocations in all; 1 discarded" in text
    assert "round 1: core 4 was capped" in to_markdown([session(redone)])


def test_a_functional_session_has_no_time_anywhere():
    """Whatever was recorded: 7.771 ms is not shown, in no form."""
    times = {"init_ms": (7.771,), "first_inference_ms": (7.771,)}
    record = dataclasses.replace(changed(BINARY, latencies_ms=(7.771,) * 50), **times)
    profile = dataclasses.replace(
        record.profile, ops=tuple(dataclasses.replace(op, mean_ms=7.771) for op in record.profile.ops)
    )
    record = dataclasses.replace(record, profile=profile, instructions=Count("cortex-a72", 12345678, 5, 2, (), 20, 30))
    functional = session(record, dataclasses.replace(record, name="uncounted", instructions=None), device=FUNCTIONAL)
    summary = summarise(functional)
    assert not summary.timed
    for text in (to_html([functional]), to_markdown([functional]), json.dumps(summary.to_json())):
        assert "7.77" not in text
        assert "median" not in text.partition("</style>")[2]
    page = Page(to_html([functional]))
    assert "No ARM64 hardware ran these files." in page.text
    assert "12,345,678" in page.text
    assert "not counted" in page.text
    assert "svg" not in page.tags
    assert "functional only" in Page(to_html([functional, WHOLE])).text


HOSTILE = (
    *("<script>alert(1)</script>", "a|b", "`x`", "$x^$", "[a](http://b)", "]]>", "&lt;", "\x1b[31m", "\u202eabc"),
    *("{{ 7*7 }}", "\ud800", "a\nb", "\0", "<!--", "x\\", '" onload="x'),
)
TAGS = set(Page(to_html([WHOLE, session(model(fault="x"), device=FUNCTIONAL)])).tags)


def check_hostile(hostile):
    """What a session's text may not do to a page and to Markdown."""
    read = parse_session(json.dumps(to_json(hostile)), "f.json")
    html, markdown = to_html([read]), to_markdown([read])
    page = Page(html)
    assert set(page.tags) <= TAGS
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", html + markdown)
    assert "<" not in markdown
    for block in markdown.split("\n\n"):
        columns = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in block.splitlines() if line.startswith("|")}
        assert len(columns) <= 1, block
    return page


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=()), min_size=1), st.text(st.characters(exclude_categories=())))
def test_text_of_a_session_is_text_and_nothing_else(name, other):
    check_hostile(
        session(
            model(name, fault=other, accuracy_source=other),
            device=dataclasses.replace(FUNCTIONAL, model=other, notes=(name,)),
            events=(Event(0.0, "skipped", name, other), Event(0.0, "note", None, name)),
        )
    )


def test_hostile_names_in_tables_and_pictures():
    models = [model(name, sha256=sha256(str(i)), accuracy=0.9 + i / 1000) for i, name in enumerate(HOSTILE)]
    hot = dataclasses.replace(state(0), temperatures_c=dict.fromkeys(HOSTILE[:3], 90.0))
    page = check_hostile(session(*models, trace=(hot, dataclasses.replace(hot, at_s=9.0))))
    for name in HOSTILE[:7]:
        assert page.text.count(name) >= 5, "as it is, in tables, in the picture and in its legend"
    assert "49" not in page.text.split()


EXTREMES = {
    "nothing known": session(
        model(role=None, accuracy=None, accuracy_source=None, equality=None, peak_memory_kb=None, profile=None),
        device=dataclasses.replace(
            DEVICE,
            **dict.fromkeys(("model", "soc", "os", "kernel", "machine", "bits", "libc", "memory_mb")),
            clusters=(),
        ),
        runtime=None,
        trace=(),
    ),
    "no state": session(
        changed(
            BINARY,
            **dict.fromkeys(
                ("before", "after"),
                dataclasses.replace(state(0), clocks_mhz={}, clock_limits_mhz={}, temperatures_c={}),
            ),
        ),
        trace=(),
        protocol=dataclasses.replace(PROTOCOL, start_temperature_c=None),
    ),
    "no model": dataclasses.replace(session(), models=()),
    "fast": session(model(rounds=rounds([2e-4] * 10))),
    "slow": session(model(rounds=rounds([3e6] * 10)), twin("float", 1e-3, accuracy=0.9)),
    "constant": session(changed(BINARY, latencies_ms=(10.0,) * 50)),
    "one invocation": session(changed(BINARY, latencies_ms=(10.0,), runs=1)),
    "same twice": session(BINARY, dataclasses.replace(BINARY, name="again")),
    "many": session(*(model(f"m{i}", twin_of=None) for i in range(12))),
    "long name": session(model("n" * 300), twin("float", 31)),
}


@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
def test_extremes_are_rendered(extreme):
    page = Page(to_html([extreme]))
    assert not re.search(r"\bnan\b", page.text)
    assert "None" not in page.text.replace("Discarded rounds None.", "")
    assert to_markdown([extreme])
    json.dumps(summarise(extreme).to_json(), allow_nan=False)


# --- two sessions


def slower(record, factor):
    return dataclasses.replace(
        record,
        rounds=tuple(
            dataclasses.replace(r, latencies_ms=tuple(factor * ms for ms in r.latencies_ms)) for r in record.rounds
        ),
    )


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.05, "slower"), (1 / 1.05, "faster"), (1.001, "no difference"), (1.0, "no difference")]
)
def test_comparison_says_what_became_of_a_model(factor, expected):
    result = compare_sessions(WHOLE, dataclasses.replace(WHOLE, models=(slower(BINARY, factor), *WHOLE.models[1:])))
    assert [row.verdict for row in result.rows] == [expected, "no difference", "no difference"]
    assert result.rows[0].ratio.ratio == pytest.approx(factor)
    assert result.slower == (["binary"] if expected == "slower" else [])
    if expected == "slower":
        with pytest.raises(LarqnetsError, match="binary became slower"):
            result.check()
    else:
        result.check()
    json.dumps(result.to_json(), allow_nan=False)


def test_models_are_matched_by_content_then_by_name():
    same = model("renamed", sha256=BINARY.sha256)
    retrained = model("float", sha256=sha256("retrained"), role="float", rounds=levels(31, 9))
    result = compare_sessions(WHOLE, session(retrained, same))
    assert [(row.name, row.matched_by) for row in result.rows] == [("binary, renamed", "SHA-256"), ("float", "name")]
    assert result.unmatched == ("int8 is in the first session only",)
    twice = session(BINARY, dataclasses.replace(BINARY, name="again"))
    assert [(r.name, r.matched_by) for r in compare_sessions(twice, twice).rows] == [
        ("binary", "SHA-256"),
        ("again", "SHA-256"),
    ]


def test_one_name_for_another_role_is_no_match():
    with pytest.raises(LarqnetsError, match="no model in common"):
        compare_sessions(session(BINARY), session(model(sha256=sha256("x"), role="float")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": dataclasses.replace(DEVICE, model="another phone")}, "differ in their device"),
        ({"device": FUNCTIONAL}, "emulator"),
        ({"cores": dataclasses.replace(WHOLE.cores, cores=(5,))}, "differ in their cores"),
        ({"cores": dataclasses.replace(WHOLE.cores, threads=2)}, "number of threads"),
    ],
)
def test_sessions_under_other_conditions_are_refused(changes, said):
    for pair in ((WHOLE, dataclasses.replace(WHOLE, **changes)), (dataclasses.replace(WHOLE, **changes), WHOLE)):
        with pytest.raises(LarqnetsError, match=said):
            compare_sessions(*pair)


def test_what_may_explain_a_difference_is_named():
    capped = dataclasses.replace(state(0), clock_limits_mhz={"4": 2000.0})
    other = dataclasses.replace(
        WHOLE,
        device=dataclasses.replace(DEVICE, os="Android 15"),
        runtime=dataclasses.replace(WHOLE.runtime, tflite="2.20.0"),
        protocol=dataclasses.replace(PROTOCOL, xnnpack=False, low_memory=True),
        models=tuple(changed(m, before=capped, after=capped) for m in WHOLE.models),
    )
    other = dataclasses.replace(
        other, models=(dataclasses.replace(other.models[0], kernels="popcount"), *other.models[1:])
    )
    assert compare_sessions(WHOLE, WHOLE).differences == ()
    assert compare_sessions(WHOLE, other).differences == (
        "the system: Android 14 (API 34), then Android 15",
        "the clock limit of the cores in MHz: 2800, then 2000",
        "TensorFlow Lite: 2.19.0, then 2.20.0",
        "XNNPACK: on, then off",
        "how 1-bit convolutions count: not known, then popcount",
        "low memory: off, then on",
    )


def test_a_model_that_can_no_longer_be_judged_does_not_pass():
    few = dataclasses.replace(BINARY, rounds=BINARY.rounds[:5])
    result = compare_sessions(session(BINARY), session(few))
    assert [row.verdict for row in result.rows] == ["undecided"]
    with pytest.raises(LarqnetsError, match="No model could be judged"):
        result.check()
    with pytest.raises(LarqnetsError, match="no round of binary counts"):
        compare_sessions(WHOLE, session(changed(BINARY, discarded="hot"), *WHOLE.models[1:])).check()


def test_noise_of_the_baseline_raises_the_threshold():
    noisy = session(model(rounds=rounds([10.0, 10.4] * 5)))
    (row,) = compare_sessions(noisy, dataclasses.replace(noisy, models=(slower(noisy.models[0], 1.05),))).rows
    assert row.ratio.p < 0.05
    assert row.threshold == pytest.approx(0.055, abs=0.005)
    assert row.verdict == "no difference"


# --- the command


@pytest.fixture
def files(tmp_path):
    """Three sessions: a baseline, one with a slower float twin, one that is functional only."""
    worse = dataclasses.replace(WHOLE, session="worse", models=(BINARY, slower(WHOLE.models[1], 1.1), WHOLE.models[2]))
    sessions = {"a": WHOLE, "b": worse, "f": session(BINARY, device=FUNCTIONAL)}
    for name, value in sessions.items():
        write_session(value, tmp_path / f"{name}.json")
    return {name: tmp_path / f"{name}.json" for name in sessions}


def test_report_prints_and_writes(cli, files, tmp_path):
    outcome = cli("report", files["a"], files["f"], "--html", "r.html", "--markdown", "r.md")
    assert (outcome.code, outcome.err) == (0, "")
    assert "times as fast as its float twin" in outcome.out
    assert "No ARM64 hardware ran these files" in outcome.out
    assert UNTRIED in outcome.out
    assert (tmp_path / "r.html").read_text() == to_html([WHOLE, session(BINARY, device=FUNCTIONAL)])
    assert (tmp_path / "r.md").read_text() == to_markdown([WHOLE, session(BINARY, device=FUNCTIONAL)])
    told = json.loads(cli("report", files["a"], "--json").out)
    assert [m["name"] for m in told[0]["models"]] == ["binary", "float", "int8"]
    assert told[0]["models"][0]["latency"]["rounds"] == 10


def test_report_compares_and_exits_with_1_on_a_regression(cli, files):
    same = cli("report", "--compare", files["a"], files["a"])
    assert (same.code, same.err) == (0, "")
    assert same.out.count("no difference") == 3
    worse = cli("report", "--compare", files["a"], files["b"])
    assert worse.code == 1
    assert "slower" in worse.out
    assert worse.err.startswith("larqnets: float became slower")
    as_json = cli("report", "--compare", files["a"], files["b"], "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out)["regression"] is True
    assert json.loads(cli("report", "--compare", files["b"], files["a"], "--json").out)["regression"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--compare", "a.json"], 2, "--compare takes two sessions"),
        (["--compare", "a.json", "b.json", "--html", "x.html"], 2, "--compare takes two sessions"),
        (["--compare", "a.json", "f.json"], 1, "emulator"),
        (["absent.json"], 1, "Cannot read"),
        (["a.json", "--html", "no/x.html"], 1, "Cannot write"),
        (["cut.json"], 1, "cut.json is damaged"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_report_says_what_is_wrong(cli, files, tmp_path, arguments, code, said):
    (tmp_path / "cut.json").write_text(files["a"].read_text()[:500])
    outcome = cli("report", *arguments)
    assert outcome.code == code
    assert outcome.out == ""
    assert said in outcome.err
    assert "Traceback" not in outcome.err
