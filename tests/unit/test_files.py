"""Rows are read from the user's files as they stand there; what cannot be used is put aside with its reason."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest

from limbeck.errors import BadRows, UsageError
from limbeck.sources.files import read_rows


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def lines(*records: object) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)


TWO = [{"input": "a b", "output": "x"}, {"input": "c, d", "output": "y"}]
FORMS = {
    "rows.jsonl": lines(*TWO),
    "rows.ndjson": lines(*TWO),
    "rows.jsonl.gz": lines(*TWO),
    "rows.json": json.dumps(TWO),
    "wrapped.json": json.dumps({"version": 1, "data": TWO}),
    "lines.json": lines(*TWO),
    "rows.csv": 'input,output\na b,x\n"c, d",y\n',
    "semi.csv": "input;output\na b;x\nc, d;y\n",
    "rows.tsv": "input\toutput\na b\tx\nc, d\ty\n",
    "rows.csv.gz": 'input,output\r\na b,x\r\n"c, d",y\r\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows, rejected = read_rows(put(tmp_path, name, FORMS[name]))
    assert [(r.input, r.output) for r in rows] == [("a b", "x"), ("c, d", "y")] and rejected == []
    assert [r.id for r in rows] == [f"{name.partition('.')[0]}-1", f"{name.partition('.')[0]}-2"]
    assert rows[1].origin.model_dump(exclude_none=True) == {"kind": "gold", "source": name, "row": 2, "detail": ""}


def test_parquet_with_lists_and_numbers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"input": ["q1", "q2"], "output": [5.0, 3.8], "choices": [["5", "6"], ["3.8", "4"]], "id": [7, 8]}),
        tmp_path / "rows.parquet",
    )
    rows, _ = read_rows(tmp_path / "rows.parquet")
    assert [(r.id, r.output, r.choices) for r in rows] == [("7", "5", ("5", "6")), ("8", "3.8", ("3.8", "4"))]
    put(tmp_path, "bad.parquet", "not parquet")
    with pytest.raises(BadRows, match="parquet"):
        read_rows(tmp_path / "bad.parquet")


def test_ten_thousand_rows_with_one_malformed_line_are_read_at_once(tmp_path: Path) -> None:
    text = [json.dumps({"input": f"text {i}", "output": f"label {i % 7}"}) for i in range(10_000)]
    text[4321] = '{"input": "broken'
    path = put(tmp_path, "big.jsonl", "\n".join(text))
    heard: list[str] = []
    start = time.perf_counter()
    rows, rejected = read_rows(path, {}, heard.append)
    assert time.perf_counter() - start < 1
    assert len(rows) == 9_999 and [(r.row, r.source) for r in rejected] == [(4322, "big.jsonl")]
    assert rejected[0].reason.startswith("malformed JSON") and rejected[0].text == '{"input": "broken'
    assert len(heard) == 1 and "1 of 10000" in heard[0]


def test_bad_rows_are_put_aside_with_their_reason(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "rows.jsonl",
        lines(
            {"input": "ok", "output": "x"},
            {"input": " ", "output": "x"},
            {"input": "no answer", "output": ""},
            ["a"],
            {"output": "x"},
            {"input": "q", "output": "z", "choices": ["a", "b"]},
            {"input": "q", "output": "a", "choices": ["a"]},
        ),
    )
    rows, rejected = read_rows(path)
    assert [r.input for r in rows] == ["ok"]
    assert [(r.row, r.reason.partition(":")[0]) for r in rejected] == [
        (2, "empty input"), (3, "empty output"), (4, "not a JSON object but list"), (5, "no column 'input'"), (6, "output not among choices"), (7, "fewer than two choices, or an empty one"),
    ]  # fmt: skip


def test_ragged_csv_rows_are_put_aside(tmp_path: Path) -> None:
    rows, rejected = read_rows(put(tmp_path, "rows.csv", "input,output\na,b\na,b,c\nonly\nd,e\n"))
    assert [r.id for r in rows] == ["rows-1", "rows-4"]
    assert [r.reason for r in rejected] == ["3 cells, the header has 2", "1 cells, the header has 2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (5.0, "5"), (3.8, "3.8"), (True, "true"), ({"b": 1, "a": [1.5]}, '{"a":[1.5],"b":1}'), (" x ", "x"), (0, "0")],
)
def test_outputs_have_one_spelling(tmp_path: Path, value: object, text: str) -> None:
    rows, _ = read_rows(put(tmp_path, "rows.jsonl", lines({"input": "q", "output": value})))
    assert rows[0].output == text


@pytest.mark.parametrize("choices", [["a", "b"], '["a", "b"]', "a|b", "a | b"])
def test_choices_in_every_form(tmp_path: Path, choices: object) -> None:
    rows, _ = read_rows(put(tmp_path, "rows.jsonl", lines({"input": "q", "output": "B", "choices": choices})))
    assert rows[0].choices == ("a", "b") and rows[0].output == "b"


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.csv", "key,question,gold,why\nk1,2+2?,4,sum\n")
    rows, _ = read_rows(path, {"input": "question", "output": "gold", "rationale": "why", "id": "key"})
    assert (rows[0].id, rows[0].input, rows[0].output, rows[0].rationale) == ("k1", "2+2?", "4", "sum")


@pytest.mark.parametrize(
    ("header", "columns", "suggested"),
    [
        ("text,label", {}, "--columns input=text,output=label"),
        ("Input,Output", {}, "--columns input=Input,output=Output"),
        ("question_text,the_answer", {}, "--columns input=question_text,output=the_answer"),
        ("foo,bar", {}, "--columns input=THEIRS,output=THEIRS"),
        ("text,label", {"input": "txet"}, "--columns input=text,output=label"),
    ],
)
def test_a_missing_column_says_what_there_is_and_what_to_type(tmp_path: Path, header: str, columns: dict[str, str], suggested: str) -> None:
    with pytest.raises(BadRows) as caught:
        read_rows(put(tmp_path, "rows.csv", f"{header}\na,b\n"), columns)
    assert caught.value.exit_code == 2 and caught.value.do == suggested
    assert all(name in caught.value.have for name in header.split(","))


def test_an_unknown_name_in_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'output'"):
        read_rows(put(tmp_path, "rows.csv", "a,b\n1,2\n"), {"ouput": "b"})


def test_unlabelled_rows_need_no_output(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.jsonl", lines({"input": "a"}, {"input": "b"}))
    rows, _ = read_rows(path, need_output=False)
    assert [r.output for r in rows] == [None, None]
    with pytest.raises(BadRows, match="no column 'output'"):
        read_rows(path)


def test_copies_are_kept_once_and_an_id_with_two_contents_is_put_aside(tmp_path: Path) -> None:
    heard: list[str] = []
    path = put(
        tmp_path,
        "rows.jsonl",
        lines(
            *[{"input": "same", "output": "x"}] * 3,
            {"id": "1", "input": "a", "output": "x"},
            {"id": "1", "input": "a", "output": "x"},
            {"id": "1", "input": "b", "output": "x"},
        ),
    )
    rows, rejected = read_rows(path, {}, heard.append)
    assert [r.input for r in rows] == ["same", "a"]
    assert [(r.row, r.reason) for r in rejected] == [(6, "id '1' stands in row 4 with other content")]
    assert any("3 identical duplicate rows" in text for text in heard) and any("1 rows with the id" in text for text in heard)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.jsonl", ""),
        ("blank.jsonl", "\n\n"),
        ("header.csv", "input,output\n"),
        ("none.json", "[]"),
        ("bad.json", '{"a": '),
        ("scalar.json", "3"),
        ("all.jsonl", "nope\nno\n"),
    ],
)
def test_a_file_without_a_good_row_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BadRows) as caught:
        read_rows(put(tmp_path, name, text))
    assert caught.value.exit_code == 2 and name in caught.value.what and caught.value.have and caught.value.do


def test_a_missing_file_a_folder_and_a_foreign_type_are_errors(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("")
    for path, word in (
        (tmp_path / "no.jsonl", "other.jsonl"),
        (tmp_path, "rows"),
        (put(tmp_path, "rows.docx", "x"), "docx"),
        (tmp_path / "no" / "no.csv", "no folder"),
    ):
        with pytest.raises(UsageError) as caught:
            read_rows(path)
        assert caught.value.exit_code == 2 and (word in str(caught.value) or path == tmp_path)


def test_encodings(tmp_path: Path) -> None:
    heard: list[str] = []
    text = "input,output\nGrüße – naïve,café\n"
    for name, data in (
        ("plain.csv", text.encode()),
        ("bom.csv", text.encode("utf-8-sig")),
        ("wide.csv", text.encode("utf-16")),
        ("old.csv", text.encode("cp1252")),
    ):
        rows, _ = read_rows(put(tmp_path, name, data), {}, heard.append)
        assert (rows[0].input, rows[0].output) == ("Grüße – naïve", "café")
    assert len([t for t in heard if "cp1252" in t]) == len(heard) >= 1


def test_a_damaged_gzip_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path, "rows.jsonl.gz", FORMS["rows.jsonl"] * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadRows, match="gzip"):
        read_rows(path)


@pytest.mark.parametrize(
    "given, read",
    [
        (["x", "y", "y", ""], ("x", "y")),
        (["y", "z"], ("x", "y", "z")),
        ('["y"]', ("x", "y")),
        ({"text": ["x", "y"], "answer_start": [0, 3]}, ("x", "y")),
        ([1969, 1970], ("x", "1969", "1970")),
        (["x"], None),
        ([], None),
        (None, None),
        ("", None),
    ],
)
def test_a_row_may_have_several_answers(tmp_path: Path, given: object, read: tuple[str, ...] | None) -> None:
    said: list[str] = []
    rows, _ = read_rows(put(tmp_path, "rows.jsonl", lines({"input": "a", "output": "x", "answers": given})), log_warn=said.append)
    assert rows[0].answers == read and rows[0].output == "x" and rows[0].blind().answers is None
    assert ("each of them counts as right" in " ".join(said)) == (read is not None)


@pytest.mark.parametrize("given", ["x|y", "[1", 5, {"a": 1}])
def test_answers_that_are_no_list_are_put_aside(tmp_path: Path, given: object) -> None:
    _, rejected = read_rows(put(tmp_path, "rows.jsonl", lines(*TWO, {"input": "a", "output": "x", "answers": given})))
    assert [(r.row, r.reason.startswith("answers are")) for r in rejected] == [(3, True)]


def test_a_row_may_bring_tests_for_code(tmp_path: Path) -> None:
    file = put(tmp_path, "rows.jsonl", lines({"input": "double", "output": "2 * n", "check": "assert double(1) == 2\n"}))
    rows, _ = read_rows(file, {"tests": "check"})
    assert rows[0].tests == "assert double(1) == 2" and rows[0].blind().tests is None
